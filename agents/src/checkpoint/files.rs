//! Atomic writing of files and folders: a crash leaves either the old or the new version, never a mixture.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use safetensors::{View, tensor::Metadata};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::section::{Block, Bytes, Entry};
use crate::{
    error::{Error, Result},
    regular_file,
};

/// Size and digest of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 digest in lower-case hexadecimal.
    pub sha256: String,
}

/// The hidden path beside `path` with `.suffix` added to its name: `a/b` → `a/.b.suffix`.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}

/// A writer that counts and hashes the bytes that pass through it.
pub(super) struct HashingWriter<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hasher.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FileDigest {
    fn of(bytes: &[u8]) -> Self {
        FileDigest {
            bytes: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }
}

/// Creates a file, calls `write` to fill it, and syncs it to the disk.
pub(super) fn write_synced(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<FileDigest> {
    let attempt = || -> io::Result<FileDigest> {
        let file = regular_file::create(path)?;
        let mut out = HashingWriter {
            inner: io::BufWriter::new(file),
            hasher: Sha256::new(),
            bytes: 0,
        };
        write(&mut out)?;
        out.inner.flush()?;
        out.inner.get_ref().sync_all()?;
        Ok(FileDigest {
            bytes: out.bytes,
            sha256: hex(&out.hasher.finalize()),
        })
    };
    attempt().map_err(Error::io(path))
}

impl View for &Entry<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.to_memory().expect("what is written is in memory")
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes tensors in safetensors format, syncs the file to the disk, and returns its digest.
pub(super) fn write_safetensors(path: &Path, entries: &[&Entry<'_>]) -> Result<FileDigest> {
    let views = entries.iter().map(|entry| (entry.name.as_str(), *entry));
    // The crate's file is private to its owner. A file of ours shows the mode that the process gives to new files.
    let mode = File::create(path)
        .and_then(|file| file.metadata())
        .map_err(Error::io(path))?
        .permissions();
    safetensors::serialize_to_file(views, None, path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(error) => Error::io(path)(error),
        other => Error::io(path)(io::Error::other(other)),
    })?;
    let digest = || -> io::Result<FileDigest> {
        let mut file = File::open(path)?;
        file.set_permissions(mode)?;
        file.sync_all()?;
        let mut out = HashingWriter {
            inner: io::sink(),
            hasher: Sha256::new(),
            bytes: 0,
        };
        io::copy(&mut file, &mut out)?;
        Ok(FileDigest {
            bytes: out.bytes,
            sha256: hex(&out.hasher.finalize()),
        })
    };
    digest().map_err(Error::io(path))
}

/// Writes a tensor as a file of its own, `name` in `folder`. If `earlier`, another folder, has the same file, both share
/// it: it becomes a hard link where the file system has them.
pub(super) fn write_block(
    folder: &Path,
    name: &str,
    block: &Entry<'_>,
    earlier: Option<&Earlier>,
) -> Result<FileDigest> {
    let path = folder.join(name);
    let bytes = safetensors::serialize([(block.name.as_str(), block)], None)
        .map_err(|error| Error::io(&path)(io::Error::other(error)))?;
    let digest = FileDigest::of(&bytes);
    match earlier.is_some_and(|earlier| earlier.share(name, &digest, &path)) {
        true => Ok(digest),
        false => write_synced(&path, |out| out.write_all(&bytes)),
    }
}

/// A checkpoint whose files a new one may share.
pub(super) struct Earlier {
    pub(super) folder: PathBuf,
    pub(super) files: BTreeMap<String, FileDigest>,
}

impl Earlier {
    /// Makes `path` the same file as `name`, if that has this digest and is there. Returns whether it is now.
    fn share(&self, name: &str, digest: &FileDigest, path: &Path) -> bool {
        let own = self.folder.join(name);
        let is_whole = || fs::symlink_metadata(&own).is_ok_and(|own| own.is_file() && own.len() == digest.bytes);
        self.files.get(name) == Some(digest) && is_whole() && fs::hard_link(&own, path).is_ok()
    }
}

/// Makes `path` the same file as `from`, or a copy of it where the file system has no hard links.
pub(super) fn link_or_copy(from: &Path, path: &Path) -> Result<()> {
    if fs::hard_link(from, path).is_ok() {
        return Ok(());
    }
    fs::copy(from, path)
        .and_then(|_| File::open(path)?.sync_all())
        .map_err(Error::io(path))
}

/// Opens a file and checks its size and digest. The error is a phrase that describes the problem.
pub(super) fn open_checked(path: &Path, expected: &FileDigest) -> std::result::Result<File, String> {
    let file = regular_file::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if size != expected.bytes {
        return Err(format!(
            "the file is truncated or altered: {size} bytes, expected {}",
            expected.bytes
        ));
    }
    let mut out = HashingWriter {
        inner: io::sink(),
        hasher: Sha256::new(),
        bytes: 0,
    };
    io::copy(&mut (&file).take(size), &mut out).map_err(|error| error.to_string())?;
    if hex(&out.hasher.finalize()) != expected.sha256 {
        return Err("the file was altered: its digest differs from that in the manifest".to_string());
    }
    Ok(file)
}

/// Far more than the names and shapes of a section's tensors take.
const MOST_HEADER_BYTES: u64 = 16 << 20;

/// The tensors of an open safetensors file, as they are in memory or stay in the file. Their bytes have to follow each
/// other and fill the file. The error is a phrase that describes the problem.
pub(super) fn tensors_of(file: &File) -> std::result::Result<Vec<Entry<'_>>, String> {
    let damaged = || "the file is not in safetensors format".to_string();
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(|_| damaged())?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > size.saturating_sub(8).min(MOST_HEADER_BYTES) {
        return Err(damaged());
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact_at(&mut header, 8).map_err(|error| error.to_string())?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|_| damaged())?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let data = 8 + header_bytes;
    let mut end = 0;
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        let elements = info
            .shape
            .iter()
            .try_fold(1usize, |all, extent| all.checked_mul(*extent));
        let bits = elements.and_then(|elements| elements.checked_mul(info.dtype.bitsize()));
        let len = to.saturating_sub(from);
        if from != end || to < from || bits != len.checked_mul(8) {
            return Err(damaged());
        }
        end = to;
        entries.push(Entry {
            name,
            dtype: info.dtype,
            shape: info.shape.clone(),
            bytes: Bytes::File {
                file,
                offset: data + from as u64,
                len,
            },
            in_blocks: false,
        });
    }
    match data + end as u64 == size {
        true => Ok(entries),
        false => Err(damaged()),
    }
}

/// A tensor with the only block that a file holds of it. The error is a phrase that describes the problem.
pub(super) fn block(path: &Path) -> std::result::Result<Entry<'static>, String> {
    let file = regular_file::open(path).map_err(|error| error.to_string())?;
    let Ok([entry]) = <[Entry<'_>; 1]>::try_from(tensors_of(&file)?) else {
        return Err("the file holds more than a block of a tensor".to_string());
    };
    let Bytes::File { offset, len, .. } = entry.bytes else {
        unreachable!("read from a file")
    };
    let path = path.to_path_buf();
    Ok(Entry {
        name: entry.name,
        dtype: entry.dtype,
        shape: entry.shape,
        bytes: Bytes::Blocks(vec![Block { path, offset, len }]),
        in_blocks: true,
    })
}

/// Syncs the entries of a folder to the disk.
pub(super) fn sync_dir(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io(folder))
}

/// Makes a folder, and the one around it. What is around that has to be there: a run that was moved or deleted does not
/// come back as a folder with nothing but checkpoints.
pub(super) fn create_in_place(folder: &Path) -> Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    for folder in parent.into_iter().chain([folder]) {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(folder)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Removes a folder, if it exists.
pub(crate) fn remove_dir(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(folder)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder, if it exists, so that it is never visible with only some of its files.
pub(super) fn remove_atomically(folder: &Path) -> Result<()> {
    let old = sibling(folder, "old");
    remove_dir(&old)?;
    match fs::rename(folder, &old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(folder)(error)),
        Ok(()) => remove_dir(&old),
    }
}

/// Removes the temporary folders and files, named by [`sibling`], that a killed process left.
pub(super) fn remove_temporaries(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && (name.ends_with(".tmp") || name.ends_with(".old")) {
            if entry.path().is_dir() {
                remove_dir(&entry.path())?;
            } else {
                fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
            }
        }
    }
    Ok(())
}

/// Moves the folder `new` to `target`, and replaces a folder that exists there.
pub(crate) fn replace_dir(new: &Path, target: &Path) -> Result<()> {
    if target.exists() && exchange(new, target).is_ok() {
        if let Some(parent) = target.parent() {
            sync_dir(parent)?;
        }
        return remove_dir(new);
    }
    let old = sibling(target, "old");
    remove_dir(&old)?;
    let existed = target.exists();
    if existed {
        fs::rename(target, &old).map_err(Error::io(target))?;
    }
    if let Err(error) = fs::rename(new, target) {
        if existed {
            let _ = fs::rename(&old, target);
        }
        return Err(Error::io(target)(error));
    }
    if let Some(parent) = target.parent() {
        sync_dir(parent)?;
    }
    remove_dir(&old)
}

/// Exchanges two folders atomically. Not every file system supports this.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use std::{ffi::CString, os::unix::ffi::OsStrExt};
    let c_path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (a, b) = (c_path(a)?, c_path(b)?);
    // SAFETY: both strings are zero-terminated and outlive the call.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Replaces a small file atomically: writes a temporary file and renames it.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = sibling(path, "tmp");
    write_synced(&temporary, |out| out.write_all(bytes))?;
    fs::rename(&temporary, path).map_err(Error::io(path))
}
