//! Files that are extended by complete records: [`AppendFile`].

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use crate::regular_file;

/// A file to which records are appended. A record that cannot be written completely is removed, so that the file stays
/// readable.
pub(super) struct AppendFile {
    file: File,
    good_bytes: u64,
}

impl AppendFile {
    /// Opens or creates a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = regular_file::append(path)?;
        let good_bytes = file.metadata()?.len();
        Ok(AppendFile { file, good_bytes })
    }

    /// Whether the file is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.good_bytes == 0
    }

    /// Appends one record.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let outcome = self.file.write_all(record);
        match outcome {
            Ok(()) => self.good_bytes += record.len() as u64,
            // If truncating fails too, the next record follows an incomplete one, which readers must skip.
            Err(_) => drop(self.file.set_len(self.good_bytes)),
        }
        outcome
    }
}

/// Removes the lines of a text file for which `keep` is false, and an incomplete last line. The file may be absent.
pub(super) fn keep_lines(path: &Path, mut keep: impl FnMut(&str) -> bool) -> io::Result<()> {
    let mut text = Vec::new();
    match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.read_to_end(&mut text)?,
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
    regular_file::create(&temporary)?.write_all(kept.as_bytes())?;
    fs::rename(temporary, path)
}
