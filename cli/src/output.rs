//! Data on stdout: [`print()`], [`print_json`].

use std::io::{self, Write};

use crate::error::{Error, Result};

/// Prints data. A reader that has gone (`| head`) is no error.
pub fn print(text: &str) -> Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout")(error)),
        _ => Ok(()),
    }
}

/// Prints one JSON value on a line.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::io("stdout")(error.into()))?;
    print(&(text + "\n"))
}
