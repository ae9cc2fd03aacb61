//! What can go wrong with a command: [`Failure`]; of the commands in this package: [`Error`].

use std::{
    fmt,
    io::{self, ErrorKind},
    path::PathBuf,
};

use crate::args::COMPLETE;

/// An error that a command can end with: its message, and what the command line adds to it.
pub trait Failure: fmt::Display {
    /// Whether other input would help: the command line exits with 2 then, otherwise with 1.
    fn is_users(&self) -> bool;

    /// What to do about it, where the message does not say.
    fn hint(&self) -> Option<String>;

    /// The error behind a panic with this message.
    fn of_panic(message: String) -> Self;
}

/// Everything that the commands of this package report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Runs or data files that make no list or report.
    #[error(transparent)]
    Report(#[from] sac_report::Error),
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An argument that is not valid.
    #[error("{0}")]
    Usage(String),
    /// A folder that holds the small program without the complete one.
    #[error("{} is not in {}", COMPLETE, .0.display())]
    NotComplete(PathBuf),
    /// A bug of this package, with the message of its panic.
    #[error("{}", bug(.0))]
    Panicked(String),
}

/// Results of this package.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

impl Failure for Error {
    fn is_users(&self) -> bool {
        match self {
            Error::Report(sac_report::Error::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
            Error::Report(sac_report::Error::Drawing(_)) => false,
            Error::Report(_) | Error::Usage(_) => true,
            Error::Io { .. } | Error::NotComplete(_) | Error::Panicked(_) => false,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Report(error) => error.hint().map(str::to_string),
            Error::NotComplete(_) => {
                Some("both programs are needed, in one folder; `cargo build --release` makes them".to_string())
            }
            Error::Panicked(_) => Some("please report it with the command".to_string()),
            Error::Io { .. } | Error::Usage(_) => None,
        }
    }

    fn of_panic(message: String) -> Self {
        Error::Panicked(message)
    }
}

/// The message about a bug of ours, from that of its panic.
pub fn bug(panic: &str) -> String {
    format!(
        "this is a bug in sac {}: {}",
        env!("CARGO_PKG_VERSION"),
        panic.replace('\n', " ")
    )
}
