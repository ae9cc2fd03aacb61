//! Opening the files of a run, which may come from somebody else: what is read is a regular file of bounded size, and
//! what is written is not led elsewhere by a symbolic link.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// Opens a regular file to read it. A pipe or a device is refused, and not waited for.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    regular(file)
}

/// Reads a text of at most `most_bytes` bytes.
///
/// # Errors
/// As [`open`]; when it is longer, or not UTF-8.
pub fn read_text(path: &Path, most_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(most_bytes + 1).read_to_string(&mut text)?;
    match text.len() as u64 > most_bytes {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most_bytes} bytes"),
        )),
        false => Ok(text),
    }
}

/// Opens or creates a regular file to append to it. A symbolic link is refused.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true);
    regular(options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?)
}

/// Creates a file. What has its name is removed before, a symbolic link itself and not what it points to.
///
/// # Errors
/// When it cannot be created.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn pipes_devices_and_folders_are_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = open(path).expect_err("no regular file").to_string();
            assert!(error.contains("no regular file"), "{error}");
        }
        assert!(append(&pipe).is_err());
    }

    #[test]
    fn a_text_that_is_too_long_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("text");
        fs::write(&path, "12345").expect("writable");
        assert_eq!(read_text(&path, 5).expect("short enough"), "12345");
        assert!(read_text(&path, 4).is_err());
    }

    #[test]
    fn links_lead_no_writer_elsewhere() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (elsewhere, link) = (folder.path().join("elsewhere"), folder.path().join("link"));
        fs::write(&elsewhere, "keep").expect("writable");
        symlink(&elsewhere, &link).expect("a link");
        assert!(append(&link).is_err());
        create(&link)
            .expect("the link goes")
            .write_all(b"new")
            .expect("writable");
        assert_eq!(fs::read(&link).expect("there"), b"new");
        assert_eq!(fs::read(&elsewhere).expect("there"), b"keep");
    }
}
