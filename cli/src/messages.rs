//! Messages on stderr: warnings, errors, and one line for a panic.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use crate::{
    args::program,
    error::Failure,
    exit_code::{FAILED, WRONG_INPUT},
};

/// The progress bar, if there is one. It is hidden while a message is written.
static BAR: Mutex<Option<indicatif::ProgressBar>> = Mutex::new(None);
/// The first panic of the process, with its place, until it is told.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// The exit code of a command. What goes wrong is explained on stderr, warnings of the libraries are shown there, and a
/// panic is a bug of ours: the user gets one line about it, not a trace.
pub fn explained<E: Failure>(command: impl FnOnce() -> Result<u8, E>) -> u8 {
    install();
    match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => explain(&error),
        Err(_) => explain(&E::of_panic(first_panic().unwrap_or_default())),
    }
}

/// Shows warnings of the libraries, and keeps panics for [`first_panic`].
fn install() {
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
pub fn explain(error: &impl Failure) -> u8 {
    step_aside_for(None);
    say(&format!("error: {}", for_this_program(&error.to_string())));
    if let Some(hint) = error.hint() {
        say(&format!("hint: {}", for_this_program(&hint)));
    }
    if error.is_users() { WRONG_INPUT } else { FAILED }
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

/// The message of the first panic of the process, with its place; once.
pub fn first_panic() -> Option<String> {
    PANIC.lock().ok()?.take()
}
