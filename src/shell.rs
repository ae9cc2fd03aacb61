//! Paths in commands that a person is to copy: [`word`].

use std::{os::unix::ffi::OsStrExt, path::Path};

/// A path as one word of a shell's command line, quoted where it has to be.
pub(crate) fn word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte) || !byte.is_ascii();
    match path.to_str() {
        Some(text) if !text.is_empty() && bytes.iter().all(is_plain) => text.to_string(),
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        None => {
            let escaped = |byte: u8| match byte {
                b'\\' | b'\'' => format!("\\{}", byte as char),
                byte if byte.is_ascii_graphic() || byte == b' ' => (byte as char).to_string(),
                byte => format!("\\x{byte:02x}"),
            };
            format!("$'{}'", bytes.iter().map(|byte| escaped(*byte)).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, process::Command};

    #[test]
    fn a_shell_reads_the_same_path() {
        let names: [&[u8]; 6] = [
            b"runs/x-1",
            b"my runs/x",
            b"it's",
            b"$HOME; ls",
            "läufe".as_bytes(),
            b"r\xff '\\ n",
        ];
        for bytes in names {
            let path = Path::new(OsStr::from_bytes(bytes));
            let script = format!("printf %s {}", word(path));
            let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
            assert_eq!(output.stdout, bytes, "{script}");
        }
        assert_eq!(word(Path::new("runs/x-1")), "runs/x-1", "no quotes without need");
        assert_eq!(word(Path::new("my runs")), "'my runs'");
    }
}
