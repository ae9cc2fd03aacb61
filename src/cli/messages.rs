//! Messages on stderr: warnings, errors, and one line for a panic.

use std::{io::Write, sync::Mutex};

use super::{
    args::program,
    exit_code::{FAILED, WRONG_INPUT},
};
use crate::error::Error;

/// The progress bar, if there is one. It is hidden while a message is written.
static BAR: Mutex<Option<indicatif::ProgressBar>> = Mutex::new(None);
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Shows warnings of the libraries, and keeps panics for [`bug`].
pub fn install() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut message) = PANIC.lock() {
            message.get_or_insert_with(|| panic.to_string());
        }
    }));
    tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        // Colours would need another feature of the crate, without which asking for them panics in debug builds.
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(|| Aside)
        .init();
}

/// Names the progress bar that messages must not tear.
pub fn step_aside_for(bar: Option<indicatif::ProgressBar>) {
    if let Ok(mut current) = BAR.lock() {
        *current = bar;
    }
}

struct Aside;

impl Write for Aside {
    /// Writes all of the text: the bar is drawn again below it, and it would be drawn into a line that has not ended.
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let bar = BAR.lock().ok().and_then(|bar| bar.clone());
        match bar {
            Some(bar) => bar.suspend(|| std::io::stderr().write_all(text)),
            None => std::io::stderr().write_all(text),
        }
        .map(|()| text.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Writes a line to stderr, in one piece. If stderr is closed, nobody reads it.
pub fn say(text: &str) {
    let _ = Aside.write_all(format!("{text}\n").as_bytes());
}

/// Says what went wrong and what to do about it, and returns the exit code.
pub fn explain(error: &Error) -> u8 {
    step_aside_for(None);
    say(&format!("error: {}", for_this_program(&error.to_string())));
    if let Some(hint) = error.hint() {
        say(&format!("hint: {}", for_this_program(&hint)));
    }
    if error.is_users() { WRONG_INPUT } else { FAILED }
}

/// Says that there was a panic, in one line, and returns the exit code.
pub fn bug() -> u8 {
    explain(&Error::of_panic(first_panic().unwrap_or_default()))
}

/// Says why one of several runs failed; for the first that panicked, also where.
pub fn explain_failure(error: &Error) {
    let place = match error {
        Error::Panicked(_) => first_panic(),
        _ => None,
    };
    match place {
        Some(message) => explain(&Error::of_panic(message)),
        None => explain(error),
    };
}

/// A text that names commands of `sac`, for a program that may have another name.
fn for_this_program(text: &str) -> String {
    match program() {
        "sac" => text.to_string(),
        name => text
            .replace("`sac ", &format!("`{name} "))
            .replace("sac train ", &format!("{name} train ")),
    }
}

fn first_panic() -> Option<String> {
    PANIC.lock().ok()?.take()
}
