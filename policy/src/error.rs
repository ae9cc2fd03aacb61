//! What can go wrong with a policy: [`Error`].

use std::path::PathBuf;

/// Everything that this package reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that is no export of a policy, or a damaged one.
    #[error("not an export of a policy: {0}")]
    NotAnExport(String),
    /// An export whose content is not what was written.
    #[error("the export is damaged: its digest is {actual}, expected {expected}")]
    Damaged {
        /// The digest of what is there.
        actual: String,
        /// The digest that the file says it has.
        expected: String,
    },
    /// An operation that does not fit its values or tensors.
    #[error("operation {at}: {problem}")]
    Operation {
        /// Its place in the graph.
        at: usize,
        /// What does not fit.
        problem: String,
    },
    /// A buffer of the wrong length.
    #[error("{what} has {actual} numbers, expected {expected}")]
    Length {
        /// What the buffer holds.
        what: &'static str,
        /// Its length.
        actual: usize,
        /// What it has to be, in words.
        expected: String,
    },
    /// An observation with a number that is not finite, or that the space does not contain.
    #[error("{what} is {value} at index {at}, expected {expected}")]
    Value {
        /// What holds the number.
        what: &'static str,
        /// The number.
        value: f32,
        /// Its index.
        at: usize,
        /// What it has to be, in words.
        expected: String,
    },
    /// Actions that differ from those that were recorded.
    #[error("recorded action {row} differs by {error:e} of the range of actions, expected at most {most:e}")]
    SelfTest {
        /// Which one.
        row: usize,
        /// The largest difference of a number, relative to the range.
        error: f32,
        /// The most that is allowed.
        most: f32,
    },
}

/// Results of this package.
pub type Result<T> = std::result::Result<T, Error>;
