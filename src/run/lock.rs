//! The lock on a folder that one process may write at a time: [`FolderLock`].

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::error::{Error, Result};

const LOCK_FILE: &str = ".lock";

/// Far more than a holder is described with.
const MOST_BYTES: u64 = 256;

/// An advisory lock on a folder. The system releases it however the process ends; on NFS it holds between machines, where
/// the server supports that. While it is held, the file `.lock` says by whom; the file stays behind, empty.
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has the lock, or another run of this one; [`Error::Io`] when the lock
    /// cannot be written.
    pub(crate) fn acquire(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK_FILE);
        // A symbolic link would make us write elsewhere.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let mut file = file.map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is said as far as it can be read.
                let _ = file.take(MOST_BYTES).read_to_string(&mut holder);
                return Err(Error::InUse {
                    path: folder.to_path_buf(),
                    holder: match holder.trim() {
                        "" => "another process".to_string(),
                        holder => holder.to_string(),
                    },
                });
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{} cannot be locked here ({error}); make sure that no other process trains in it",
                    folder.display()
                );
            }
        }
        let host = sysinfo::System::host_name().unwrap_or_else(|_| "an unnamed host".to_string());
        file.set_len(0)
            .and_then(|()| writeln!(file, "process {} on {host}", std::process::id()))
            .map_err(Error::io(&path))?;
        Ok(FolderLock(file))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // What is left behind is only read while somebody holds the lock. A child that this process is just starting has the
        // file open for a moment too, so closing it would not be enough.
        let _ = self.0.rewind().and_then(|()| self.0.set_len(0));
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lock = FolderLock::acquire(folder.path()).expect("free");
        let error = FolderLock::acquire(folder.path()).err().expect("locked");
        assert!(error.is_users());
        let process = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
        drop(lock);
        drop(FolderLock::acquire(folder.path()).expect("free again"));
        let left = std::fs::read(folder.path().join(LOCK_FILE)).expect("there");
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "keep").expect("writable");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(LOCK_FILE)).expect("a link");
        assert!(FolderLock::acquire(folder.path()).is_err());
        assert_eq!(std::fs::read(&elsewhere).expect("there"), b"keep");
    }
}
