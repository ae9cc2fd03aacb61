//! Whose turn a piece of work is, among processes that share a folder: [`Claim`].

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use crate::error::{Error, Result};

/// The turn of this process; it ends with the process at the latest.
pub struct Claim(#[expect(dead_code, reason = "the lock is held while it is open")] File);

impl Claim {
    /// Takes the turn that a file stands for; `None` while another has it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn take(path: &Path) -> Result<Option<Claim>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
        }
    }

    /// Waits for the turn that a file stands for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn wait_for(path: &Path) -> Result<Claim> {
        let file = open(path)?;
        file.lock().map_err(Error::io(path))?;
        Ok(Claim(file))
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_taken_once_until_it_is_dropped() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let path = here.path().join("a/b.claim");
        let claim = Claim::take(&path).expect("writable").expect("free");
        assert!(Claim::take(&path).expect("writable").is_none());
        drop(claim);
        assert!(Claim::take(&path).expect("writable").is_some());
    }
}
