//! `cargo xtask parity`: comparison of our environments with Gymnasium's, bit for bit.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{python, setup};

/// Builds `envs/examples/trace.rs`, creates the Python environment with Gymnasium, and runs `envs/parity/compare.py`
/// with `arguments`.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<ExitCode> {
    let options = setup::Options {
        flavour: None,
        depth: setup::Depth::Sizes,
        verbose: false,
    };
    setup::ensure(workspace, options)?;
    let python = python::environment(workspace).context("cannot create the Python environment with Gymnasium")?;
    // Of the whole workspace, as the tests are built: see `examples` in test.rs.
    let mut build = workspace.cargo();
    build.args(["build", "--quiet", "--workspace", "--example", "trace"]);
    let built = build.status().context("cannot run cargo")?;
    ensure!(built.success(), "the build failed");
    let compared = Command::new(python)
        .arg(workspace.root().join("envs/parity/compare.py"))
        .arg(workspace.target()?.join("debug/examples/trace"))
        .args(arguments)
        .status()
        .context("cannot run Python")?;
    Ok(match compared.code() {
        Some(0) => ExitCode::SUCCESS,
        Some(2) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}
