//! What can be wrong with runs and data files: [`Error`].

use std::path::{Path, PathBuf};

/// Everything that this package reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that the user named, and that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that says what to train, and all that is wrong with it.
    #[error(
        "{}: {} problem{}, nothing was started\n  {}",
        path.display(), problems.len(), if problems.len() == 1 { "" } else { "s" }, problems.join("\n  ")
    )]
    Problems {
        /// The file.
        path: PathBuf,
        /// A sentence for each, with its place.
        problems: Vec<String>,
    },
    /// A file with contents that are not of its form.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A data file whose contents are not those that its digest was made of.
    #[error("{}: its digest does not fit its contents: it was edited by hand or damaged", .0.display())]
    Edited(PathBuf),
    /// A data file without a digest, where one is required.
    #[error("{}: has no digest, expected a data file as these tools write it", .0.display())]
    NoDigest(PathBuf),
    /// A folder without a run in it.
    #[error("{}: no run in it, expected a run folder, a folder of runs, or a data file", .0.display())]
    NoRuns(PathBuf),
    /// Runs that have not reached their end.
    #[error("unfinished: {}", .0.join("; "))]
    Unfinished(Vec<String>),
    /// Runs with evaluations that are not a number.
    #[error("an evaluation is not a number: {}", .0.join("; "))]
    NotFinite(Vec<String>),
    /// Runs that cannot be a row of one table.
    #[error("{0}")]
    Rows(String),
    /// A picture that cannot be drawn.
    #[error("cannot draw: {0}")]
    Drawing(String),
}

/// Results of this package.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] for `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        |source| Error::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// An [`Error::Malformed`] for `path`.
    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Error {
        Error::Malformed {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Edited(_) => Some("restore it from version control, or record its runs again"),
            Error::NoDigest(_) => Some("`sac report --out DIR` and `cargo xtask curves` write data files"),
            Error::Unfinished(_) => Some("wait for them, or leave them out with --skip-unfinished"),
            Error::NotFinite(_) => {
                Some("leave these runs out with --skip-diverged; a run that diverged is a result too")
            }
            _ => None,
        }
    }
}
