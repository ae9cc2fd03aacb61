//! `cargo sac`: set-up, a release build, and then the program itself in our place.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::Workspace;

/// Becomes the release binary with these arguments. Returns only if it cannot.
pub fn sac(workspace: &Workspace, arguments: Vec<OsString>) -> Result<ExitCode> {
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    build(workspace)?;
    let binary = workspace.target()?.join("release/sac");
    // Signals, the exit code and the terminal are the program's own, since nothing stands between it and the shell.
    let error = Command::new(&binary).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}

/// `cargo build --release`, silent unless there is something to compile.
pub fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "sac-rl", "--bin", "sac"]);
    cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if io::stderr().is_terminal() {
        // Cargo sees a pipe; it is to draw as for the terminal behind it.
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
        bail!("the build failed; the reason is above");
    }
    Ok(())
}

/// Whether cargo says more than that everything was built before.
fn has_news(text: &str) -> bool {
    plain(text)
        .split(['\n', '\r'])
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with("Finished") && !"Finished".starts_with(line))
}

/// Without the escape sequences of a terminal.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // `ESC [ parameters letter`, the only form that cargo uses.
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
