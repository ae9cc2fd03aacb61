//! What environments print: [`Output`] captures it and shows every line once.

use std::collections::{HashSet, VecDeque};
use std::io::Read;
use std::process::ChildStderr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Lines that are shown in all, of all workers of this process together.
const MOST_SHOWN: usize = 200;
/// The longest part of a line that is shown.
const LONGEST: usize = 500;
/// Lines that are kept for the message about a worker that ends.
const KEPT: usize = 30;

/// The last lines that a worker printed.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<VecDeque<String>>>);

impl Output {
    /// Reads the output of a worker on a thread of its own, which ends with the output. Each line is shown once, as a
    /// message of the library, whichever worker printed it first.
    pub(super) fn capture(name: &str, mut from: ChildStderr) -> std::io::Result<Self> {
        let output = Output::default();
        let (kept, name) = (output.clone(), name.to_string());
        let read = move || {
            let (mut chunk, mut line) = ([0; 8192], Vec::new());
            while let Ok(count) = from.read(&mut chunk)
                && count > 0
            {
                for byte in &chunk[..count] {
                    match byte {
                        b'\n' => kept.take(&name, &mut line),
                        // Progress bars go back to the start of their line.
                        b'\r' => line.clear(),
                        _ if line.len() < LONGEST => line.push(*byte),
                        _ => {}
                    }
                }
            }
            kept.take(&name, &mut line);
        };
        std::thread::Builder::new()
            .name("python output".to_string())
            .spawn(read)?;
        Ok(output)
    }

    fn take(&self, name: &str, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line).trim_end().to_string();
        line.clear();
        if text.is_empty() {
            return;
        }
        match shown().lock().unwrap_or_else(PoisonError::into_inner).look_at(&text) {
            Show::Now => tracing::info!("{name}: {text}"),
            Show::Last => tracing::info!("{name}: {text}\n{name}: what else it prints is not shown"),
            Show::No => {}
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(text);
    }

    /// The last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }
}

#[derive(Debug, PartialEq)]
enum Show {
    Now,
    /// The last line that is shown.
    Last,
    No,
}

/// The lines that were shown.
#[derive(Default)]
struct Shown(HashSet<String>);

impl Shown {
    fn look_at(&mut self, line: &str) -> Show {
        if self.0.len() >= MOST_SHOWN || !self.0.insert(line.to_string()) {
            return Show::No;
        }
        match self.0.len() == MOST_SHOWN {
            true => Show::Last,
            false => Show::Now,
        }
    }
}

/// Those of this process.
fn shown() -> &'static Mutex<Shown> {
    static SHOWN: OnceLock<Mutex<Shown>> = OnceLock::new();
    SHOWN.get_or_init(Mutex::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_once_and_there_is_a_last_one() {
        let mut shown = Shown::default();
        assert_eq!([shown.look_at("a"), shown.look_at("a")], [Show::Now, Show::No]);
        for i in 2..MOST_SHOWN {
            assert_eq!(shown.look_at(&i.to_string()), Show::Now);
        }
        assert_eq!(
            ["y", "z", "z"].map(|line| shown.look_at(line)),
            [Show::Last, Show::No, Show::No]
        );
    }
}
