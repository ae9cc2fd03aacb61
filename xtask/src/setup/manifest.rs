//! [`Manifest`]: the files of a part with their sizes and hashes, written when the part is created.
//!
//! Each file has a line `<sha256> <bytes> <path>`, each link a line `link <length of the target> <path>`. The last line
//! is `end <number of lines>`, so that a truncated manifest is detected.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::bytes::hex;

const NAME: &str = "manifest.txt";
/// Headers are 96 % of the files of libtorch. The quick check of every `cargo sac` skips them.
const HEADERS: &str = "/include/";

/// How thoroughly the files of a part are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The sizes of all files that are linked or read at run time, in a few milliseconds.
    Libraries,
    /// The sizes of all files.
    Sizes,
    /// The hashes of all files.
    Hashes,
}

/// One file of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Lower-case hexadecimal, or `link` for a symbolic link.
    pub sha256: String,
    pub bytes: u64,
    /// Relative to the part's folder.
    pub path: PathBuf,
}

/// All files of a part.
#[derive(Debug, Default)]
pub struct Manifest {
    pub files: Vec<Entry>,
}

/// Result of a check of a part.
#[derive(Debug)]
pub enum State {
    Complete,
    Missing,
    /// The problems, one per file.
    Broken(Vec<String>),
}

impl State {
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

impl Manifest {
    pub fn read(home: &Path) -> Result<Self> {
        let path = home.join(NAME);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut files = Vec::new();
        for line in text.lines() {
            if let Some(count) = line.strip_prefix("end ") {
                if count.parse() != Ok(files.len()) {
                    bail!("the manifest has {} lines, but its last line says {count}", files.len());
                }
                return Ok(Self { files });
            }
            let mut fields = line.splitn(3, ' ');
            let (Some(sha256), Some(bytes), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                bail!("the line `{line}` of the manifest is incomplete");
            };
            let bytes = bytes
                .parse()
                .with_context(|| format!("in the line `{line}` of the manifest"))?;
            files.push(Entry {
                sha256: sha256.to_owned(),
                bytes,
                path: path.into(),
            });
        }
        bail!("the manifest is incomplete");
    }

    pub fn write(&self, home: &Path) -> Result<()> {
        let mut text = String::new();
        for file in &self.files {
            text.push_str(&format!("{} {} {}\n", file.sha256, file.bytes, file.path.display()));
        }
        text.push_str(&format!("end {}\n", self.files.len()));
        let path = home.join(NAME);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Compares the folder of a part with its manifest, and the manifest with the hash that is pinned for it.
pub fn inspect(home: &Path, depth: Depth, pinned: Option<&str>) -> State {
    if home.symlink_metadata().is_err() {
        return State::Missing;
    }
    if let Some(pinned) = pinned {
        match hash_of(&home.join(NAME)) {
            Ok(hash) if hash == pinned => {}
            Ok(_) => return State::Broken(vec![format!("{NAME}: not the list of files that is pinned")]),
            Err(error) => return State::Broken(vec![format!("{NAME}: {error}")]),
        }
    }
    let manifest = match Manifest::read(home) {
        Ok(manifest) => manifest,
        Err(error) => return State::Broken(vec![format!("{error:#}")]),
    };
    let mut problems = Vec::new();
    for file in &manifest.files {
        let is_header = || file.path.to_string_lossy().contains(HEADERS);
        if depth == Depth::Libraries && is_header() {
            continue;
        }
        if let Some(problem) = problem_of(home, file, depth) {
            problems.push(format!("{}: {problem}", file.path.display()));
        }
    }
    if problems.is_empty() {
        State::Complete
    } else {
        State::Broken(problems)
    }
}

/// A hash of the sizes and modification times of the files that are linked or read at run time, and of the manifest; `None`
/// if one is missing.
pub fn times(home: &Path) -> Option<String> {
    let manifest = Manifest::read(home).ok()?;
    let is_header = |file: &&Entry| file.path.to_string_lossy().contains(HEADERS);
    let files = manifest
        .files
        .iter()
        .filter(|file| !is_header(file))
        .map(|file| file.path.as_path());
    let mut hasher = Sha256::new();
    for path in files.chain([Path::new(NAME)]) {
        let facts = home.join(path).symlink_metadata().ok()?;
        let modified = facts.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        hasher.update(format!("{} {} {}\n", path.display(), facts.len(), modified.as_nanos()));
    }
    Some(hex(&hasher.finalize()))
}

fn problem_of(home: &Path, file: &Entry, depth: Depth) -> Option<String> {
    let path = home.join(&file.path);
    if file.sha256 == "link" {
        return match fs::read_link(&path) {
            Ok(target) if target.as_os_str().len() as u64 == file.bytes && path.exists() => None,
            _ => Some("the link is missing or has another target".into()),
        };
    }
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some("missing".into()),
        Err(error) => return Some(error.to_string()),
        Ok(found) if !found.is_file() => return Some("not a file".into()),
        Ok(found) if found.len() != file.bytes => {
            return Some(format!("{} bytes, expected {}", found.len(), file.bytes));
        }
        Ok(_) => {}
    }
    if depth == Depth::Hashes {
        match hash_of(&path) {
            Err(error) => return Some(error.to_string()),
            Ok(hash) if hash != file.sha256 => return Some("the content has changed".into()),
            Ok(_) => {}
        }
    }
    None
}

/// The sha256 of a file in lower-case hexadecimal.
pub fn hash_of(path: &Path) -> io::Result<String> {
    let mut writer = HashWriter::new(io::sink());
    copy(&mut File::open(path)?, &mut writer)?;
    Ok(writer.finish().0)
}

/// `io::copy` with a large buffer.
pub fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 17];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writer that hashes and counts the bytes that are written through it.
pub struct HashWriter<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> HashWriter<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    /// The hash in lower-case hexadecimal, and the number of bytes.
    pub fn finish(self) -> (String, u64) {
        (hex(&self.hasher.finalize()), self.bytes)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.hasher.update(&data[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> (tempfile::TempDir, Manifest) {
        let home = tempfile::tempdir().expect("temporary folder");
        fs::create_dir_all(home.path().join("p/include")).expect("writable");
        fs::write(home.path().join("p/a.so"), b"library").expect("writable");
        fs::write(home.path().join("p/include/a.h"), b"header").expect("writable");
        let entry = |path: &str| {
            let whole = home.path().join(path);
            let bytes = fs::metadata(&whole).expect("just written").len();
            Entry {
                sha256: hash_of(&whole).expect("readable"),
                bytes,
                path: path.into(),
            }
        };
        let manifest = Manifest {
            files: vec![entry("p/a.so"), entry("p/include/a.h")],
        };
        manifest.write(home.path()).expect("writable");
        (home, manifest)
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        let (home, manifest) = part();
        assert_eq!(Manifest::read(home.path()).expect("valid").files, manifest.files);
        assert!(inspect(home.path(), Depth::Hashes, None).is_complete());
    }

    #[test]
    fn a_manifest_that_was_cut_short_is_broken() {
        let (home, _) = part();
        let text = fs::read_to_string(home.path().join(NAME)).expect("readable");
        for length in [0, 10, text.len() - 7] {
            fs::write(home.path().join(NAME), &text[..length]).expect("writable");
            assert!(
                matches!(inspect(home.path(), Depth::Libraries, None), State::Broken(_)),
                "cut at {length}"
            );
        }
    }

    #[test]
    fn each_depth_finds_what_it_promises() {
        let (home, _) = part();
        fs::write(home.path().join("p/include/a.h"), b"hEader").expect("writable");
        assert!(inspect(home.path(), Depth::Sizes, None).is_complete());
        assert!(!inspect(home.path(), Depth::Hashes, None).is_complete());
        fs::write(home.path().join("p/include/a.h"), b"short").expect("writable");
        assert!(inspect(home.path(), Depth::Libraries, None).is_complete());
        assert!(!inspect(home.path(), Depth::Sizes, None).is_complete());
        fs::remove_file(home.path().join("p/a.so")).expect("there");
        assert!(!inspect(home.path(), Depth::Libraries, None).is_complete());
    }

    #[test]
    fn a_manifest_that_was_edited_with_its_files_is_not_the_pinned_one() {
        let (home, mut manifest) = part();
        let pinned = hash_of(&home.path().join(NAME)).expect("readable");
        assert!(inspect(home.path(), Depth::Hashes, Some(&pinned)).is_complete());
        fs::write(home.path().join("p/a.so"), b"l1brary").expect("writable");
        manifest.files[0].sha256 = hash_of(&home.path().join("p/a.so")).expect("readable");
        manifest.write(home.path()).expect("writable");
        assert!(inspect(home.path(), Depth::Hashes, None).is_complete());
        assert!(!inspect(home.path(), Depth::Libraries, Some(&pinned)).is_complete());
    }

    #[test]
    fn times_move_with_a_file_that_is_written_again() {
        let (home, _) = part();
        let before = times(home.path()).expect("all there");
        assert_eq!(times(home.path()), Some(before.clone()));
        let library = home.path().join("p/a.so");
        let file = File::options().write(true).open(&library).expect("there");
        file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1))
            .expect("settable");
        assert!(times(home.path()).is_some_and(|after| after != before));
        fs::remove_file(library).expect("there");
        assert_eq!(times(home.path()), None);
    }
}
