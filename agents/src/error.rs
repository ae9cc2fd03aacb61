//! What can go wrong while building, training or loading an agent.

use std::path::PathBuf;

use sac_envs::EnvError;

/// Everything that this crate reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The environment failed during training; what had been learned until then may have been saved.
    #[error("{source} (at env step {env_steps}{})", checkpoint.as_ref().map(|p| format!("; checkpoint written to {}", p.display())).unwrap_or_default())]
    EnvDuringTraining {
        /// What the environment said.
        source: EnvError,
        /// Env steps taken so far.
        env_steps: u64,
        /// Where the state from before the failing step was saved.
        checkpoint: Option<PathBuf>,
    },
    /// A space that the chosen agent cannot use.
    #[error("{what} space {space} of {env} is not supported by {by}: {reason}")]
    UnsupportedSpace {
        /// `action` or `observation`.
        what: &'static str,
        /// The space, printed.
        space: String,
        /// Environment, printed.
        env: String,
        /// Which part of the agent refuses.
        by: &'static str,
        /// What it would need.
        reason: &'static str,
    },
    /// A replay that does not fit in memory.
    #[error(
        "replay of {capacity} transitions needs {needed_mib} MiB, but {available_mib} MiB are available; lower replay.capacity"
    )]
    ReplayTooLarge {
        /// Transitions.
        capacity: u64,
        /// For the whole replay.
        needed_mib: u64,
        /// As the operating system says.
        available_mib: u64,
    },
    /// A value of the specification that makes no sense.
    #[error("{key} = {value}: {problem}")]
    Spec {
        /// Dotted key.
        key: String,
        /// As given.
        value: String,
        /// What it should be.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A checkpoint that is damaged, incomplete, or not of this program.
    #[error("checkpoint {path}: section `{section}`: {problem}")]
    Checkpoint {
        /// The file within the checkpoint.
        path: PathBuf,
        /// Which section of the state.
        section: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A section that does not fit the agent, replay or environment it is loaded into.
    #[error("section `{section}`: {problem}")]
    Section {
        /// Which section of the state.
        section: String,
        /// What does not fit.
        problem: String,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A learned quantity is no longer a number.
    #[error("{what} is not finite at gradient step {grad_steps}{}", checkpoint.as_ref().map(|p| format!("; the last good checkpoint is {}", p.display())).unwrap_or_default())]
    Diverged {
        /// Metric name.
        what: String,
        /// Updates so far.
        grad_steps: u64,
        /// The last checkpoint before it.
        checkpoint: Option<PathBuf>,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    pub(crate) fn section(section: &str, problem: impl Into<String>) -> Error {
        Error::Section {
            section: section.to_string(),
            problem: problem.into(),
        }
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
