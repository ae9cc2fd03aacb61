//! The Python environment of the tests, with TensorBoard, NumPy, Gymnasium, Gymnasium-Robotics, MuJoCo, ONNX Runtime,
//! maturin and pytest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::bytes::hex;
use crate::setup::{Cache, Python, point, remove_any};
use crate::workspace::Workspace;

const IMPORTS: &str = "import maturin, onnx, onnxruntime, optuna, pytest\nimport gymnasium, gymnasium.envs.mujoco, gymnasium_robotics, mujoco, numpy\nfrom tensorboard.backend.event_processing import event_accumulator\n";

/// The interpreter of an environment with everything in `xtask/python-tests.txt`. The first call creates the
/// environment.
pub fn environment(workspace: &Workspace) -> Result<PathBuf> {
    let cache = Cache::locate(workspace)?;
    let python = Python::find()?;
    let version = version(&python)?;
    let requirements = workspace.root().join("xtask/python-tests.txt");
    let text = fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let key = hex(&Sha256::digest(text));
    let home = cache.root().join(format!("python-tests-{version}-{}", &key[..12]));
    let interpreter = home.join("bin/python");
    let link = workspace.native().join("python-tests");
    let works = || {
        // Not only a check for the file: a virtual environment breaks when its base Python is removed.
        Command::new(&interpreter)
            .args(["-c", IMPORTS])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !works() {
        let _lock = cache.lock()?;
        cache.sweep()?;
        if !works() {
            say!(
                "  installing TensorBoard, NumPy, Gymnasium, Gymnasium-Robotics, MuJoCo, ONNX Runtime, Optuna, maturin and pytest"
            );
            say!("  for the tests (about 160 MB)");
            make(&cache, &python, &requirements, &home)?;
            ensure!(
                works(),
                "{} cannot import the packages of the tests:\n{IMPORTS}",
                interpreter.display()
            );
        }
    }
    if fs::read_link(&link).ok().as_ref() != Some(&home) {
        point(&link, &home)?;
    }
    Ok(link.join("bin/python"))
}

/// The version of the interpreter, `major.minor`.
fn version(python: &Python) -> Result<String> {
    let script = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = python
        .command()
        .args(["-c", script])
        .output()
        .context("cannot run python3")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let minor = text.strip_prefix("3.").and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(10..) => Ok(text),
        _ => bail!(
            "the tests that use Python need version 3.10 or newer, and this is {text}\n\
             choose another with SAC_PYTHON=/path/to/python3, or run `cargo xtask test --fast`, which needs no Python"
        ),
    }
}

/// The folder of the packages of an environment.
pub fn packages_of(interpreter: &Path) -> Result<PathBuf> {
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let output = Command::new(interpreter).args(["-c", script]).output()?;
    let packages = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(!packages.is_empty(), "{} does not start", interpreter.display());
    Ok(PathBuf::from(packages))
}

/// The command that makes a virtual environment without pip.
pub fn venv(python: &Python, home: &Path) -> Command {
    let mut venv = python.command();
    venv.args(["-m", "venv", "--without-pip"]).arg(home);
    venv
}

/// The pip of the base Python, which installs what is added as arguments into the folder `packages`, whatever the user has
/// configured.
pub fn pip_install(python: &Python, packages: &Path) -> Command {
    let mut pip = python.command();
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]);
    pip.args(["--disable-pip-version-check", "--target"]).arg(packages);
    pip.env("PIP_USER", "0").env("PIP_REQUIRE_VIRTUALENV", "0");
    pip.env("PIP_ROOT_USER_ACTION", "ignore");
    pip
}

/// Creates the environment at `home`. It needs the module `venv`, which is part of Python, but not `ensurepip`, which
/// is a separate package on Debian: the pip of the base Python installs the packages.
fn make(cache: &Cache, python: &Python, requirements: &Path, home: &Path) -> Result<()> {
    let made = cache.work("python-tests")?;
    let status = venv(python, &made).status()?;
    ensure!(
        status.success(),
        "`python3 -m venv` failed\ninstall it, on Debian and Ubuntu with `sudo apt install python3-venv`"
    );
    let packages = packages_of(&made.join("bin/python"))?;
    let temporary = cache.work("pip")?;
    let mut pip = pip_install(python, &packages);
    pip.args(["--require-hashes", "--only-binary=:all:", "--no-cache-dir"]);
    pip.arg("--requirement").arg(requirements).env("TMPDIR", &temporary);
    let status = pip.status().context("cannot run pip")?;
    ensure!(
        status.success(),
        "pip could not install xtask/python-tests.txt ({status}); see its messages above\n\
         offline: put the wheels of these packages into a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=/that/folder"
    );
    remove_any(&temporary)?;
    cache.install(&made, home)
}
