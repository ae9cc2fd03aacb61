//! A process with a time budget, whose lines are read as they come: [`supervise`].

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::Value;

/// Of what a process says on standard error, the end is kept.
const SAID_BYTES: usize = 4000;
/// So long a process may take to end after it was killed. One that hangs in a driver may never.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which nobody here sent.
    Killed(i32),
    /// Its time was up, and it was killed.
    OutOfTime,
}

/// What a process did.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// Wall time.
    pub seconds: f64,
    /// The end of its standard error, and of lines on standard output that are not results.
    pub said: String,
}

/// Runs `command` for at most `budget` and hands on every result, a line `{"key": …, "value": …}` of its standard
/// output, when it comes.
///
/// # Errors
/// When it cannot be started.
pub fn supervise(mut command: Command, budget: Duration, on_result: &mut dyn FnMut(&str, Value)) -> Result<Ran> {
    let started = Instant::now();
    let deadline = started + budget;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    let said = Arc::new(Mutex::new(Vec::new()));
    // The threads end with the pipes; one that a hanging process holds open is left behind.
    let (sender, lines) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        thread::spawn(move || {
            let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
            lines
                .take_while(|line| sender.send(line.clone()).is_ok())
                .for_each(drop);
        });
    }
    let listener = child.stderr.take().map(|pipe| {
        let said = said.clone();
        thread::spawn(move || listen(pipe, &said))
    });

    let mut take = |line: Vec<u8>| match result(&line) {
        Some((key, value)) => on_result(&key, value),
        None => keep(&said, &[&line[..], b"\n"].concat()),
    };
    let mut ending = None;
    while ending.is_none() {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => take(line),
            Err(mpsc::RecvTimeoutError::Timeout) => break,
            Err(mpsc::RecvTimeoutError::Disconnected) => ending = ended_by(&mut child, deadline).map(of_status),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    let ending = ending.unwrap_or_else(|| {
        // Already gone is gone.
        let _ = child.kill();
        ended_by(&mut child, Instant::now() + GRACE);
        Ending::OutOfTime
    });
    lines.try_iter().for_each(take);
    if let (Some(listener), false) = (listener, ending == Ending::OutOfTime) {
        let _ = listener.join();
    }
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Ran {
        ending,
        seconds: started.elapsed().as_secs_f64(),
        said: String::from_utf8_lossy(&said).trim().to_string(),
    })
}

/// The key and value of a line that is a result.
fn result(line: &[u8]) -> Option<(String, Value)> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let key = value.get("key")?.as_str()?.to_string();
    Some((key, value.get_mut("value")?.take()))
}

/// Waits until a process has ended, until `deadline`.
fn ended_by(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
            _ => return None,
        }
    }
}

fn of_status(status: ExitStatus) -> Ending {
    match status.code() {
        Some(code) => Ending::Exited(code),
        None => Ending::Killed(status.signal().unwrap_or(0)),
    }
}

fn listen(mut pipe: impl Read, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        keep(said, &buffer[..count]);
    }
}

fn keep(said: &Mutex<Vec<u8>>, text: &[u8]) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.extend_from_slice(text);
    let over = said.len().saturating_sub(SAID_BYTES);
    said.drain(..over);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, budget: Duration) -> (Ran, Vec<(String, Value)>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut results = Vec::new();
        let ran = supervise(command, budget, &mut |key, value| {
            results.push((key.to_string(), value))
        });
        (ran.expect("sh is there"), results)
    }

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn results_come_apart_from_words() {
        let (ran, results) = run(
            r#"echo '{"key": "a", "value": [1, 2]}'; echo words; echo '{"value": 3}'; echo more >&2; exit 1"#,
            AMPLE,
        );
        assert_eq!(ran.ending, Ending::Exited(1));
        assert_eq!(results, [("a".to_string(), serde_json::json!([1, 2]))]);
        for word in ["words", r#"{"value": 3}"#, "more"] {
            assert!(ran.said.contains(word), "{word} in {}", ran.said);
        }
    }

    #[test]
    fn a_process_that_hangs_is_killed_and_its_results_stay() {
        let (ran, results) = run(
            r#"echo '{"key": "before", "value": 1}'; exec sleep 60"#,
            Duration::from_millis(500),
        );
        assert_eq!(ran.ending, Ending::OutOfTime);
        assert!(ran.seconds < 20.0, "{}", ran.seconds);
        assert_eq!(results.len(), 1);
    }

    #[test]
    fn a_process_that_hangs_without_its_output_is_killed_too() {
        let (ran, _) = run("exec >&- 2>&-; exec sleep 60", Duration::from_millis(500));
        assert_eq!(ran.ending, Ending::OutOfTime);
        assert!(ran.seconds < 20.0, "{}", ran.seconds);
    }

    #[test]
    fn a_process_that_never_stops_talking_is_killed_in_time() {
        let (ran, _) = run("while :; do echo words; done", Duration::from_millis(500));
        assert_eq!(ran.ending, Ending::OutOfTime);
        assert!(ran.seconds < 20.0, "{}", ran.seconds);
        assert!(ran.said.len() <= SAID_BYTES);
    }

    #[test]
    fn a_process_that_dies_of_a_signal_is_told_from_one_that_fails() {
        let (ran, results) = run(r#"echo '{"key": "before", "value": 1}'; kill -ABRT $$"#, AMPLE);
        assert_eq!((ran.ending, results.len()), (Ending::Killed(6), 1));
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let nothing = Command::new("/nowhere/at-all");
        assert!(supervise(nothing, AMPLE, &mut |_, _| ()).is_err());
    }
}
