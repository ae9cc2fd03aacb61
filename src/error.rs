//! What can go wrong with a run.

use std::path::PathBuf;

use sac_envs::EnvError;

use crate::config::{Issues, ResolveError};

/// Everything that this package reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agents' side.
    #[error(transparent)]
    Agents(#[from] sac_agents::Error),
    /// The environments' side.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A configuration that cannot be.
    #[error(transparent)]
    Config(#[from] Issues),
    /// A run folder that is already there.
    #[error("{} exists already; a run never writes into another's folder", .0.display())]
    RunExists(PathBuf),
    /// A folder that is not a run, or lacks what is asked for.
    #[error("{}: {problem}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// The folder of a new run cannot be made.
    #[error("cannot make the run folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A run that holds nothing to go on from.
    #[error("{}: no checkpoint was written yet", .0.display())]
    NoCheckpoint(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The machine has no more memory.
    #[error("out of memory")]
    OutOfMemory,
    /// Our own mistake; what the panic said.
    #[error("this is a bug in sac {}: {}", env!("CARGO_PKG_VERSION"), .0.replace('\n', " "))]
    Panicked(String),
    /// What the user typed makes no sense.
    #[error("{0}")]
    Usage(String),
}

/// Results of this package.
pub type Result<T> = std::result::Result<T, Error>;

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Env(error) => Error::Env(error),
            ResolveError::Issues(issues) => Error::Config(issues),
        }
    }
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// What lies behind a panic that said so.
    pub fn of_panic(message: String) -> Error {
        if message.contains("can't allocate memory") || message.contains("CUDA out of memory") {
            Error::OutOfMemory
        } else {
            Error::Panicked(message)
        }
    }

    /// Whether the user can mend it by asking for something else: exit code 2 instead of 1.
    pub fn is_users(&self) -> bool {
        use sac_agents::Error as A;
        match self {
            Error::Config(_)
            | Error::RunExists(_)
            | Error::NotARun { .. }
            | Error::NoCheckpoint(_)
            | Error::Usage(_) => true,
            Error::Env(error) => matches!(
                error,
                EnvError::UnknownId { .. }
                    | EnvError::NotBuilt { .. }
                    | EnvError::Option { .. }
                    | EnvError::InvalidAction { .. }
                    | EnvError::Unsupported { .. }
            ),
            Error::Agents(error) => {
                matches!(
                    error,
                    A::UnsupportedSpace { .. } | A::ReplayTooLarge { .. } | A::Spec { .. }
                )
            }
            Error::Io { .. } | Error::Folder { .. } | Error::OutOfMemory | Error::Panicked(_) => false,
        }
    }

    /// What to do about it, where that is not plain from the message.
    pub fn hint(&self) -> Option<String> {
        use sac_agents::Error as A;
        match self {
            Error::Env(EnvError::UnknownId { .. }) => Some("`sac envs` lists all environments".into()),
            Error::RunExists(path) => Some(format!(
                "choose another --run-dir, or continue it with --resume {}",
                path.display()
            )),
            Error::NoCheckpoint(path) => Some(format!(
                "the same run again, from its beginning: sac train --config {}",
                path.join("config.toml").display()
            )),
            Error::OutOfMemory => Some(
                "smaller networks (agent.body.hidden), batches (train.batch_size) or replays (replay.capacity) need less"
                    .into(),
            ),
            Error::Panicked(_) => Some(
                "please report it with the command; the newest checkpoint of a run is whole, --resume goes on from it"
                    .into(),
            ),
            Error::Agents(A::Checkpoint { .. }) => {
                Some("other checkpoints of the run may be whole: see its folder `checkpoints`".into())
            }
            Error::Agents(A::EnvDuringTraining {
                checkpoint: Some(_), ..
            }) => {
                Some("once the environment is mended, --resume goes on from the checkpoint with a new episode".into())
            }
            _ => None,
        }
    }
}
