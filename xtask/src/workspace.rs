//! [`Workspace`]: the checkout, its target folder, and cargo commands for it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The checkout that xtask was started from.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace. `cargo run` sets the path of the package; a binary that is started directly uses the path
    /// at which it was built.
    pub fn locate() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&package)
            .parent()
            .context("the package xtask is at the root of the file system")?;
        Ok(Self { root: root.to_owned() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of links to what set-up fetched: `SAC_NATIVE` (relative to the checkout), else `.native/`, where
    /// `.cargo/config.toml` points libtorch and MuJoCo to.
    pub fn native(&self) -> PathBuf {
        match env::var_os("SAC_NATIVE").filter(|value| !value.is_empty()) {
            Some(folder) => self.root.join(folder),
            None => self.root.join(".native"),
        }
    }

    pub fn pins(&self) -> PathBuf {
        self.root.join("xtask/pins.toml")
    }

    /// The value of the environment variable `name`, if it is the user's and not that of our `.cargo/config.toml`.
    ///
    /// Cargo's `[env]` also applies to xtask, so the variable is always set here.
    pub fn users_own(&self, name: &str, ours: &Path) -> Option<PathBuf> {
        let value = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
        (!same_place(&value, ours)).then_some(value)
    }

    /// A cargo command for this workspace, with its configuration, from any current folder.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // The outer `cargo run` set these for the package xtask; they are wrong for the inner cargo.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
                cargo.env_remove(&name);
            }
        }
        cargo
    }

    /// A cargo command in `folder`, which may belong to another workspace. It uses our target folder, so that common
    /// dependencies are built once.
    pub fn cargo_in(&self, folder: &str, arguments: &[&str]) -> Result<Command> {
        let mut cargo = self.cargo();
        cargo
            .args(arguments)
            .current_dir(self.root.join(folder))
            .env("CARGO_TARGET_DIR", self.target()?);
        Ok(cargo)
    }

    /// The folder with `debug/` and `release/`: that of the xtask binary, whatever the configuration says.
    pub fn target(&self) -> Result<PathBuf> {
        let own = env::current_exe().context("cannot find the path of the xtask binary")?;
        let target = own
            .parent()
            .and_then(Path::parent)
            .context("the xtask binary is not in a target folder")?;
        Ok(target.to_owned())
    }
}

/// Shows a command, runs it, and fails if it does.
pub fn run_command(mut command: Command) -> Result<()> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = words.join(" ");
    say!("    {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Whether two paths name the same folder. It need not exist, as `.native/libtorch` before set-up.
fn same_place(a: &Path, b: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().ok();
    let parent = |path: &Path| path.parent().and_then(|parent| parent.canonicalize().ok());
    a.components().eq(b.components())
        || resolved(a).is_some_and(|a| resolved(b) == Some(a))
        || (a.file_name() == b.file_name() && parent(a).is_some_and(|a| parent(b) == Some(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_through_dots_and_when_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let native = folder.path().join(".native");
        std::fs::create_dir(&native).expect("writable");
        let ours = native.join("libtorch");
        assert!(same_place(&ours, &ours));
        assert!(same_place(&native.join("../.native/libtorch"), &ours));
        assert!(!same_place(Path::new("/opt/libtorch"), &ours));
        assert!(!same_place(&native, &ours));
    }
}
