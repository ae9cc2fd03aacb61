//! Errors of building, training and loading an agent: [`Error`].

use std::path::PathBuf;

use sac_envs::EnvError;

/// All errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// An environment failed during training. The state before the failing step may have been saved.
    #[error("{source} (at env step {env_steps}{})", checkpoint.as_ref().map(|p| format!("; checkpoint written to {}", p.display())).unwrap_or_default())]
    EnvDuringTraining {
        /// The environment's error.
        source: EnvError,
        /// Env steps taken so far.
        env_steps: u64,
        /// The checkpoint of the state before the failing step, if it was written.
        checkpoint: Option<PathBuf>,
    },
    /// A space that a part of the agent does not support.
    #[error("{what} space {space} of {env} is not supported by {by}: {reason}")]
    UnsupportedSpace {
        /// `action` or `observation`.
        what: &'static str,
        /// The space, formatted.
        space: String,
        /// Name of the environment.
        env: String,
        /// The part of the agent that does not support it.
        by: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A replay that does not fit into memory.
    #[error(
        "replay of {capacity} transitions needs {needed_mib} MiB, but {available_mib} MiB are available; lower replay.capacity"
    )]
    ReplayTooLarge {
        /// Capacity of the replay, transitions.
        capacity: u64,
        /// Memory that the full replay takes.
        needed_mib: u64,
        /// Memory that the operating system reports as available.
        available_mib: u64,
    },
    /// Networks that do not fit into memory.
    #[error(
        "networks need {needed_mib} MiB with their gradients, moments of the optimiser and targets, but {available_mib} MiB \
         are available; lower {key}"
    )]
    NetworksTooLarge {
        /// Memory of all networks, before anything is learned.
        needed_mib: u64,
        /// Memory that the operating system reports as available.
        available_mib: u64,
        /// The setting that decides on most of it.
        key: &'static str,
    },
    /// An invalid value in the specification.
    #[error("{key} = {value}: {problem}")]
    Spec {
        /// Dotted key.
        key: String,
        /// The invalid value.
        value: String,
        /// What is wrong with it, or what was expected.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A checkpoint that is damaged, incomplete, or was not written by this program.
    #[error("checkpoint {path}: section `{section}`: {problem}")]
    Checkpoint {
        /// The file within the checkpoint.
        path: PathBuf,
        /// The section of the state.
        section: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The state of a run at its end could not be saved.
    #[error("the state at env step {env_steps} could not be saved: {source}; {}", checkpoint.as_ref().map_or_else(|| "there is no checkpoint".to_string(), |p| format!("the last checkpoint is {}", p.display())))]
    NotSaved {
        /// Env steps taken, all of them.
        env_steps: u64,
        /// Why.
        source: Box<Error>,
        /// The newest checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// A section of a checkpoint that does not fit the agent, replay or environment that loads it.
    #[error("section `{section}`: {problem}")]
    Section {
        /// The section of the state.
        section: String,
        /// What does not fit.
        problem: String,
    },
    /// An error of libtorch.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A part of an agent that has no form outside of it.
    #[error("{0} cannot be exported: it does not say what it computes")]
    NotExportable(String),
    /// A policy that has no form outside of an agent, such as one with weights that are not finite.
    #[error("the policy cannot be exported: {0}")]
    Export(#[from] sac_policy::Error),
    /// A learned quantity is NaN or infinite.
    #[error("{what} is not finite at gradient step {grad_steps}{}", checkpoint.as_ref().map(|p| format!("; the last good checkpoint is {}", p.display())).unwrap_or_default())]
    Diverged {
        /// The metric or parameter.
        what: String,
        /// Updates so far.
        grad_steps: u64,
        /// The last checkpoint with finite parameters, if there is one.
        checkpoint: Option<PathBuf>,
    },
}

impl Error {
    /// Makes an [`Error::Io`] for `path`; for `map_err`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// Whether a device has no space left, or a quota is used up.
    pub(crate) fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    pub(crate) fn section(section: &str, problem: impl Into<String>) -> Error {
        Error::Section {
            section: section.to_string(),
            problem: problem.into(),
        }
    }
}

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
