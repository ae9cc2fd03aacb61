//! The cache folder: parts, downloads, and the lock that keeps two set-ups apart.
//!
//! ```text
//! sac-native/
//!   lock                       held by a set-up at work; holds its process id
//!   downloads/<wheel>          fetched completely, its hash seen; removed once unpacked
//!   work/                      whatever is half done; emptied by the next set-up
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

/// Held while a set-up works; the operating system lets go of it whatever end the process takes.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// `SAC_NATIVE_CACHE`, else below the user's cache folder, else (no home) inside the checkout.
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

    /// Waits until no other set-up works on this cache.
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
                    "another set-up (process {}) works on {}; waiting for it",
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

    /// Removes what a set-up that was cut off has left half done. To be called under the lock.
    pub fn sweep(&self) -> Result<()> {
        remove_any(&self.root.join("work"))
    }

    /// A new folder for something half done, on the same file system as the parts.
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

    /// Puts the complete folder `made` in the place of `home`; what was there before goes.
    pub fn install(&self, made: &Path, home: &Path) -> Result<()> {
        // One call for ten thousand files: syncing each by itself takes minutes on some disks.
        rustix::fs::syncfs(File::open(made)?).with_context(|| format!("cannot sync {}", made.display()))?;
        if home.symlink_metadata().is_ok() {
            fs::rename(home, self.work("old")?.join("part"))
                .with_context(|| format!("cannot move {} away", home.display()))?;
        }
        fs::rename(made, home).with_context(|| format!("cannot rename {} to {}", made.display(), home.display()))?;
        File::open(&self.root)?.sync_all()?;
        self.sweep()
    }

    /// Whether a download of the right size is there; its hash is looked at before it is used.
    pub fn has_download(&self, wheel: &Wheel) -> bool {
        fs::metadata(self.downloads().join(&wheel.file)).is_ok_and(|file| file.len() == wheel.bytes)
    }

    /// Removes a download that has been unpacked.
    pub fn forget_download(&self, wheel: &Wheel) -> Result<()> {
        remove_any(&self.downloads().join(&wheel.file))
    }
}

/// Removes a file, a link or a folder; nothing there is fine.
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
