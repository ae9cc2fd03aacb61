//! The package for Python, `python/`: its wheel, in an environment of its own, with its tests.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::python;
use crate::setup::{Python, remove_any};
use crate::workspace::{Workspace, run_command};

const FOLDER: &str = "python";

/// Builds the wheel with the development profile, so that builds of common dependencies are shared, installs it, and
/// runs `python/tests`.
///
/// The wheel takes libtorch from the package torch, of which only the libraries are needed, and those are what set-up
/// fetched. A link to them stands for the package, since all of it, with what it depends on, takes 2.9 GB. The tests
/// that import torch are skipped then; docs/python.md has the command that runs them.
pub fn check(workspace: &Workspace) -> Result<()> {
    let tools = python::environment(workspace)?;
    let wheel = build(workspace, &tools)?;
    let home = workspace.target()?.join("python-package");
    let interpreter = install(&wheel, &tools, &home)?;
    let mut tests = Command::new(interpreter);
    tests
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "tests"])
        .current_dir(workspace.root().join(FOLDER))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV");
    run_command(tests)
}

/// Builds the wheel, and returns its path.
fn build(workspace: &Workspace, tools: &Path) -> Result<PathBuf> {
    let out = workspace.target()?.join("python-wheel");
    remove_any(&out)?;
    let mut maturin = Command::new(python::packages_of(tools)?.join("bin/maturin"));
    maturin
        .args(["build", "--locked", "--profile", "dev", "--interpreter"])
        .arg(tools)
        .arg("--out")
        .arg(&out)
        .current_dir(workspace.root().join(FOLDER))
        .env("CARGO_TARGET_DIR", workspace.target()?);
    run_command(maturin)?;
    let mut files = fs::read_dir(&out)?.flatten().map(|entry| entry.path());
    let wheel = files.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.context("maturin made no wheel")
}

/// Makes a new environment with the wheel, the packages of the tests, and libtorch. Returns its interpreter.
fn install(wheel: &Path, tools: &Path, home: &Path) -> Result<PathBuf> {
    remove_any(home)?;
    let python = Python::find()?;
    run_command(python::venv(&python, home))?;
    let interpreter = home.join("bin/python");
    let packages = python::packages_of(&interpreter)?;
    let mut pip = python::pip_install(&python, &packages);
    pip.arg("--no-index").arg(wheel);
    run_command(pip)?;
    let theirs = python::packages_of(tools)?;
    fs::write(packages.join("tests.pth"), format!("{}\n", theirs.display()))?;
    // Beside the module, where it looks for them.
    symlink(theirs.join("mujoco"), packages.join("mujoco"))?;
    let libtorch = env::var_os("LIBTORCH").context("LIBTORCH is not set; .cargo/config.toml sets it")?;
    fs::create_dir(packages.join("torch"))?;
    symlink(PathBuf::from(libtorch).join("lib"), packages.join("torch/lib"))?;
    Ok(interpreter)
}
