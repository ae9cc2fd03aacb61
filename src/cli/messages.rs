//! What is said on stderr: warnings, errors, and a panic's one line.

use std::{io::Write, process::ExitCode, sync::Mutex};

use sac::Error;

/// Warnings and errors of the user's making go through here; the progress bar, when there is one, steps aside.
static BAR: Mutex<Option<indicatif::ProgressBar>> = Mutex::new(None);
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Lets warnings of the libraries appear, and panics not.
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

/// The progress bar that messages must not tear.
pub fn step_aside_for(bar: Option<indicatif::ProgressBar>) {
    if let Ok(mut current) = BAR.lock() {
        *current = bar;
    }
}

struct Aside;

impl Write for Aside {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let bar = BAR.lock().ok().and_then(|bar| bar.clone());
        match bar {
            Some(bar) => bar.suspend(|| std::io::stderr().write(text)),
            None => std::io::stderr().write(text),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// A line on stderr. A closed stderr is nobody's loss.
pub fn say(text: &str) {
    let _ = writeln!(Aside, "{text}");
}

/// Says what went wrong and how to mend it.
pub fn explain(error: &Error) -> ExitCode {
    step_aside_for(None);
    say(&format!("error: {error}"));
    if let Some(hint) = error.hint() {
        say(&format!("hint: {hint}"));
    }
    ExitCode::from(if error.is_users() { 2 } else { 1 })
}

/// One line about a panic.
pub fn bug() -> ExitCode {
    explain(&Error::of_panic(first_panic().unwrap_or_default()))
}

/// Says why one of several runs could not go on; of the first that panicked, where.
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

fn first_panic() -> Option<String> {
    PANIC.lock().ok()?.take()
}
