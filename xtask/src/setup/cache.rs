//! [`Cache`]: the folder with parts and downloads, and its lock.
//!
//! ```text
//! sac-native/
//!   lock                       held by a running set-up; contains its process id
//!   downloads/<wheel>          complete, with a verified hash; removed after unpacking
//!   work/                      unfinished files; the next set-up removes them
//!   libtorch-2.11.0-cpu-<key>/ a complete part
//! ```

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::pins::Wheel;
use crate::workspace::Workspace;

/// The folder that all checkouts of a user share.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
}

/// The lock of a running set-up. The operating system releases it however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// Finds the cache: `SAC_NATIVE_CACHE`, otherwise a folder in the user's cache folder, otherwise (without a home
    /// folder) one in the checkout.
    pub fn locate(workspace: &Workspace) -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = if let Some(path) = set("SAC_NATIVE_CACHE") {
            ensure!(
                path.is_absolute(),
                "SAC_NATIVE_CACHE must be an absolute path, not `{}`",
                path.display()
            );
            path
        } else if let Some(path) = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
            path.join("sac-native")
        } else if let Some(home) = set("HOME").filter(|path| path.is_absolute()) {
            home.join(".cache/sac-native")
        } else {
            workspace.native().join("cache")
        };
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Locks the cache. Waits while another set-up has the lock.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.root.join("lock");
        fs::create_dir_all(&self.root)
            .and_then(|()| fs::create_dir_all(self.downloads()))
            .with_context(|| {
                format!(
                    "cannot write to {}\nset SAC_NATIVE_CACHE to a folder that you can write to",
                    self.root.display()
                )
            })?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).ok();
                say!(
                    "another set-up (process {}) is using {}; waiting for it",
                    holder.trim(),
                    self.root.display()
                );
                file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot lock {}\nset SAC_NATIVE_CACHE to a folder on a local disk",
                        path.display()
                    )
                });
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }

    /// Removes the unfinished files of an interrupted set-up. The caller must hold the lock.
    pub fn sweep(&self) -> Result<()> {
        remove_any(&self.root.join("work"))
    }

    /// Creates a folder for unfinished files, on the same file system as the parts.
    pub fn work(&self, purpose: &str) -> Result<PathBuf> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self
            .root
            .join("work")
            .join(format!("{purpose}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// Moves the complete folder `made` to `home` and removes an older one there.
    pub fn install(&self, made: &Path, home: &Path) -> Result<()> {
        // One call for all ten thousand files; syncing each of them takes minutes on some disks.
        rustix::fs::syncfs(File::open(made)?).with_context(|| format!("cannot sync {}", made.display()))?;
        if home.symlink_metadata().is_ok() {
            fs::rename(home, self.work("old")?.join("part"))
                .with_context(|| format!("cannot move {} away", home.display()))?;
        }
        fs::rename(made, home).with_context(|| format!("cannot rename {} to {}", made.display(), home.display()))?;
        File::open(&self.root)?.sync_all()?;
        self.sweep()
    }

    /// Whether a download with the right size exists. Its hash is checked before it is used.
    pub fn has_download(&self, wheel: &Wheel) -> bool {
        fs::metadata(self.downloads().join(&wheel.file)).is_ok_and(|file| file.len() == wheel.bytes)
    }

    /// Removes a download that has been unpacked.
    pub fn forget_download(&self, wheel: &Wheel) -> Result<()> {
        remove_any(&self.downloads().join(&wheel.file))
    }
}

/// Removes a file, a link or a folder, if it exists.
pub fn remove_any(path: &Path) -> Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(what) if what.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
