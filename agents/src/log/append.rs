//! A file that grows by whole records.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Appends records; one that could not be written whole leaves no trace, so that the file stays readable.
pub(super) struct AppendFile {
    file: File,
    good_bytes: u64,
}

impl AppendFile {
    /// Opens or creates.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let good_bytes = file.metadata()?.len();
        Ok(AppendFile { file, good_bytes })
    }

    /// Whether nothing was written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.good_bytes == 0
    }

    /// Adds one record.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let outcome = self.file.write_all(record);
        match outcome {
            Ok(()) => self.good_bytes += record.len() as u64,
            // Should even this fail, the next record follows a torn one, and readers skip or stop there.
            Err(_) => drop(self.file.set_len(self.good_bytes)),
        }
        outcome
    }
}

/// Rewrites a text file with only those lines that `keep` wants; an absent file stays absent.
pub(super) fn keep_lines(path: &Path, mut keep: impl FnMut(&str) -> bool) -> io::Result<()> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let text = String::from_utf8_lossy(&text);
    let kept: String = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && keep(line.trim_end()))
        .collect();
    if kept.len() == text.len() {
        return Ok(());
    }
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, kept)?;
    fs::rename(temporary, path)
}
