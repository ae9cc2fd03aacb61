//! Where things are: the workspace, its target folder, cargo, and which environment values are the user's own.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The checkout that xtask was started from.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// `cargo run` tells where the package lies now; a binary started by hand falls back on where it was built.
    pub fn locate() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let root = Path::new(&package)
            .parent()
            .context("the package xtask lies at the root of the file system")?;
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

    /// The value that the user has given to `name`, if it is not the one from our `.cargo/config.toml`.
    ///
    /// Cargo's `[env]` reaches xtask too, so that the variable is always set in here.
    pub fn users_own(&self, name: &str, ours: &Path) -> Option<PathBuf> {
        let value = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
        (!same_place(&value, ours)).then_some(value)
    }

    /// A cargo that works on this workspace, with this workspace's configuration, from any current folder.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // The outer `cargo run` described the package xtask in these; none of it is true for the inner one.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
                cargo.env_remove(&name);
            }
        }
        cargo
    }

    /// The folder that holds `debug/` and `release/`: where cargo has put xtask itself, whatever the configuration says.
    pub fn target(&self) -> Result<PathBuf> {
        let own = env::current_exe().context("cannot tell where the xtask binary lies")?;
        let target = own
            .parent()
            .and_then(Path::parent)
            .context("the xtask binary lies outside of a target folder")?;
        Ok(target.to_owned())
    }
}

/// Whether two paths name the same folder; also true for a `.native/libtorch` that is not there yet.
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
