//! Checks of this machine: platform, Python with pip, C++ compiler, free space. Each error message has the fix.

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::bytes::size;
use crate::pins::{Part, Target, Wheel};

/// A Python 3 with pip.
#[derive(Debug, Clone)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// Finds the interpreter: `SAC_PYTHON`, otherwise `python3`.
    pub fn find() -> Result<Self> {
        let program = env::var_os("SAC_PYTHON")
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| "python3".into());
        let shown = program.to_string_lossy().into_owned();
        let output = Command::new(&program)
            .args(["-m", "pip", "--version"])
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Self {
                program: program.into(),
            }),
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("No module named pip") => bail!(
                "{shown} has no pip, which is needed to fetch libtorch and MuJoCo\n\
                 install it with `{shown} -m ensurepip --user`, or on Debian and Ubuntu with \
                 `sudo apt install python3-pip`, then run the same command again\n\
                 (another Python can be named with SAC_PYTHON=/path/to/python3)"
            ),
            Ok(output) => bail!(
                "`{shown} -m pip --version` failed ({}):\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{shown} was not found; its pip is needed to fetch libtorch and MuJoCo\n\
                 install Python 3 with pip, on Debian and Ubuntu with `sudo apt install python3 python3-pip`, \
                 then run the same command again\n\
                 (another Python can be named with SAC_PYTHON=/path/to/python3)"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot run {shown}")),
        }
    }

    /// A command that runs this interpreter.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null());
        command
    }
}

/// Fails if the pinned files cannot run on this machine. Files without machine code run everywhere.
pub fn check_platform<'a>(target: &Target, mut wheels: impl Iterator<Item = &'a Wheel>, part: &Part) -> Result<()> {
    if wheels.all(|wheel| wheel.file.ends_with("-any.whl")) {
        return Ok(());
    }
    let own = match &part.replaced_by {
        Some(name) if name == "LIBTORCH" => {
            "set LIBTORCH to the folder of your own libtorch 2.11.0 (the one that holds include/ and lib/)"
        }
        Some(_) => "set MUJOCO_DYNAMIC_LINK_DIR to the folder of your own libmujoco 3.17.0",
        None => "it cannot be replaced",
    };
    if env::consts::OS != target.os || env::consts::ARCH != target.arch {
        bail!(
            "the pinned {} is for {} on {}, and this machine is {} on {}\n{own}, then run the same command again",
            part.name,
            target.os,
            target.arch,
            env::consts::OS,
            env::consts::ARCH
        );
    }
    if cfg!(target_env = "musl") {
        bail!(
            "the pinned {} is for glibc, and this machine has musl\n{own}, or work in a container with glibc",
            part.name
        );
    }
    if let Some(glibc) = glibc()
        && version(&glibc) < version(&target.min_glibc)
    {
        bail!(
            "{} needs glibc {} or newer, and this machine has {glibc}\n{own}",
            part.name,
            target.min_glibc
        );
    }
    Ok(())
}

fn glibc() -> Option<String> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    Some(
        String::from_utf8(output.stdout)
            .ok()?
            .trim()
            .strip_prefix("glibc ")?
            .to_owned(),
    )
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').map_while(|field| field.parse().ok()).collect()
}

/// Fails unless `bytes` can be written below `folder`.
pub fn check_space(folder: &Path, bytes: u64) -> Result<()> {
    // If the free space is unknown, assume that it suffices.
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free < bytes {
        bail!(
            "set-up needs {} of free space, and {} has {}\n\
             make room, or set SAC_NATIVE_CACHE to a folder on another disk, then run the same command again",
            size(bytes),
            folder.display(),
            size(free)
        );
    }
    Ok(())
}

/// Adds the fix to an error if the disk is full, which can happen in spite of `check_space`.
pub fn explain_full_disk(error: anyhow::Error) -> anyhow::Error {
    let is_full = error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|io| matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    });
    if !is_full {
        return error;
    }
    anyhow!(
        "{error:#}\nthe disk is full: make room, or set SAC_NATIVE_CACHE to a folder on another disk, then run the same \
         command again; what was downloaded is kept"
    )
}

/// Fails if the C++ compiler that torch-sys uses does not exist.
pub fn compiler() -> Result<()> {
    if let Some(named) = env::var_os("CXX").filter(|value| !value.is_empty()) {
        // CXX may contain arguments, or a wrapper before the compiler: `ccache g++`.
        let first = named
            .to_string_lossy()
            .split_whitespace()
            .next()
            .map(str::to_owned)
            .unwrap_or_default();
        if on_path(&first) {
            return Ok(());
        }
        bail!(
            "the C++ compiler CXX={} was not found\ncorrect CXX, or unset it",
            named.to_string_lossy()
        );
    }
    if on_path("c++") {
        return Ok(());
    }
    for other in ["g++", "clang++"] {
        if on_path(other) {
            bail!("there is no `c++`, but there is {other}: run `export CXX={other}` and the same command again");
        }
    }
    bail!(
        "no C++ compiler was found; it is needed to build the binding to libtorch\n\
         install one, on Debian and Ubuntu with `sudo apt install g++`, on Fedora with `sudo dnf install gcc-c++`, \
         then run the same command again"
    );
}

fn on_path(program: &str) -> bool {
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| runs(&folder.join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version("2.4") < version("2.28"));
        assert!(version("2.36") >= version("2.28"));
    }

    #[test]
    fn too_little_space_names_the_variable_to_set() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = check_space(folder.path(), u64::MAX).expect_err("no disk is this large");
        assert!(error.to_string().contains("SAC_NATIVE_CACHE"), "{error}");
        assert!(check_space(folder.path(), 1).is_ok());
    }

    #[test]
    fn a_full_disk_is_explained_and_other_errors_are_left_alone() {
        let full = anyhow::Error::from(io::Error::from(io::ErrorKind::StorageFull)).context("cannot create a.so");
        assert!(explain_full_disk(full).to_string().contains("SAC_NATIVE_CACHE"));
        let other = explain_full_disk(anyhow!("something else"));
        assert_eq!(other.to_string(), "something else");
    }
}
