//! `cargo sac`: set-up, a release build, and the program.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::Workspace;

/// The program with every command of `sac`, in a folder of builds. `sac` beside it starts it where libtorch is needed.
pub const COMPLETE: &str = "sac-torch";

/// Replaces this process by the release build of `sac` with these arguments. Returns only on failure.
pub fn sac(workspace: &Workspace, arguments: Vec<OsString>) -> Result<ExitCode> {
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    build(workspace)?;
    let binary = workspace.target()?.join("release/sac");
    // `exec` gives the program our process id, so that signals, exit code and terminal are its own.
    let error = Command::new(&binary).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}

/// `cargo build --release`, silent unless there is something to compile.
pub fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "sac-rl", "--bins"]);
    cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if io::stderr().is_terminal() {
        // Cargo sees a pipe, but should draw its progress for the terminal.
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| size.ws_col.max(20));
        cargo
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", width.to_string());
        if std::env::var_os("NO_COLOR").is_none() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
            cargo.env("CARGO_TERM_COLOR", "always");
        }
    }
    let mut child = cargo.spawn().context("cannot run cargo")?;
    let mut held = Vec::new();
    let mut is_open = false;
    if let Some(mut pipe) = child.stderr.take() {
        let mut buffer = [0; 4096];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if is_open => {
                    let _ = io::stderr().write_all(&buffer[..count]);
                }
                Ok(count) => {
                    held.extend_from_slice(&buffer[..count]);
                    if has_news(&String::from_utf8_lossy(&held)) {
                        is_open = true;
                        let _ = io::stderr().write_all(&held);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        if !is_open {
            let _ = io::stderr().write_all(&held);
        }
        bail!("the build failed; see the messages above");
    }
    Ok(())
}

/// Whether the output of cargo has anything besides `Finished`.
fn has_news(text: &str) -> bool {
    plain(text)
        .split(['\n', '\r'])
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with("Finished") && !"Finished".starts_with(line))
}

/// The text without terminal escape sequences.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // Cargo uses only the form `ESC [ parameters letter`.
            for c in rest.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::has_news;

    #[test]
    fn a_fresh_build_is_no_news_and_anything_else_is() {
        assert!(!has_news(
            "    Finished `release` profile [optimized] target(s) in 0.05s\n"
        ));
        assert!(!has_news(
            "\u{1b}[1m\u{1b}[92m    Finished\u{1b}[0m `release` profile\r\u{1b}[K"
        ));
        assert!(!has_news("\u{1b}[1m\u{1b}[92m    Fin"));
        assert!(has_news("\u{1b}[1m   Compiling\u{1b}[0m torch-sys v0.24.0\n"));
        assert!(has_news("error: could not compile `sac`\n"));
        assert!(has_news("    Blocking waiting for file lock on build directory\n"));
    }
}
