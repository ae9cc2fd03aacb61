//! What can go wrong with a run: [`Error`].

use std::{
    error::Error as _,
    fmt,
    path::{Path, PathBuf},
};

use sac_cli::{Failure, familiar};
use sac_envs::EnvError;

use crate::{
    config::{ConfigError, Issues},
    shell,
};

/// Everything that this package reports.
///
/// Its `Debug` form is the message with its causes and a hint, so that a program may return it from `main` and its user
/// reads a sentence:
///
/// ```no_run
/// // Not run: this program is meant to fail.
/// fn main() -> sac::Result<()> {
///     sac::Policy::load("runs/none")?; // Error: runs/none: no such folder
///     Ok(())
/// }
/// ```
#[derive(thiserror::Error)]
pub enum Error {
    /// An error of the agents.
    #[error(transparent)]
    Agents(#[from] sac_agents::Error),
    /// An error of the environments.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A policy that cannot be exported, or a file that holds none.
    #[error(transparent)]
    Policy(#[from] sac_policy::Error),
    /// An agent with a part that no format of exports holds.
    #[error(
        "{part} cannot be exported, in any format: it does not say what it computes (agent.encoder.kind = \"{encoder}\", agent.policy.kind = \"{policy}\")"
    )]
    NotExportable {
        /// The part.
        part: String,
        /// Kind of the encoder.
        encoder: String,
        /// Kind of the policy head.
        policy: String,
    },
    /// A file that is there already.
    #[error("{} exists already; an export never writes over a file", .0.display())]
    OutputExists(PathBuf),
    /// An error of a command that needs no libtorch.
    #[error(transparent)]
    Cli(#[from] sac_cli::Error),
    /// Settings that are not valid.
    #[error(transparent)]
    Config(#[from] Issues),
    /// An algorithm that does not exist.
    #[error("{0}")]
    UnknownAlgo(String),
    /// A run folder that exists already.
    #[error("{} exists already; a run never writes into another's folder", .0.display())]
    RunExists(PathBuf),
    /// A folder that another process trains in.
    #[error("{}: {holder} is training in it", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process and host.
        holder: String,
    },
    /// A folder that is not a run, or lacks what is asked for.
    #[error("{}: {problem}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A policy whose spaces are not those of a task.
    #[error("{}: its policy takes {}, but {env} has {}", run.display(), .policy, .task)]
    OtherSpaces {
        /// Folder of the run.
        run: PathBuf,
        /// The environment.
        env: String,
        /// The space that the policy was trained with, and its length: `observations of 3 numbers (Box[3])`.
        policy: String,
        /// The space of the environment, likewise.
        task: String,
    },
    /// A folder that cannot be made.
    #[error("cannot make the run folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A run without a checkpoint to resume from.
    #[error("{}: no checkpoint was written yet", .0.display())]
    NoCheckpoint(PathBuf),
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A film that only ffmpeg can write, and there is none.
    #[error("{}: an .mp4 is written by ffmpeg, which is not on the PATH", .0.display())]
    NoFfmpeg(PathBuf),
    /// The machine has no more memory.
    #[error("out of memory")]
    OutOfMemory,
    /// A bug of this package, with the message of its panic.
    #[error("{}", sac_cli::bug(.0))]
    Panicked(String),
    /// An argument that is not valid.
    #[error("{0}")]
    Usage(String),
}

/// Results of this package.
pub type Result<T> = std::result::Result<T, Error>;

/// The message, its causes as far as they say more, and the hint.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.to_string();
        write!(f, "{message}")?;
        let mut said = message;
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said += &text;
            }
            cause = error.source();
        }
        match self.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Env(error) => Error::Env(error),
            ConfigError::Issues(issues) => Error::Config(issues),
            unknown @ ConfigError::UnknownAlgo { .. } => Error::UnknownAlgo(unknown.to_string()),
        }
    }
}

impl From<sac_report::Error> for Error {
    fn from(error: sac_report::Error) -> Self {
        Error::Cli(error.into())
    }
}

impl Failure for Error {
    fn is_users(&self) -> bool {
        Error::is_users(self)
    }

    fn hint(&self) -> Option<String> {
        Error::hint(self)
    }

    fn of_panic(message: String) -> Self {
        Error::of_panic(message)
    }
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// The error behind a panic with this message.
    pub fn of_panic(message: String) -> Error {
        if message.contains("can't allocate memory") || message.contains("CUDA out of memory") {
            Error::OutOfMemory
        } else {
            Error::Panicked(message)
        }
    }

    /// Whether other input would help: the command line exits with 2 then, otherwise with 1.
    pub fn is_users(&self) -> bool {
        use sac_agents::Error as A;
        match self {
            Error::Config(_)
            | Error::UnknownAlgo(_)
            | Error::RunExists(_)
            | Error::InUse { .. }
            | Error::NotARun { .. }
            | Error::OtherSpaces { .. }
            | Error::NoCheckpoint(_)
            | Error::NotExportable { .. }
            | Error::OutputExists(_)
            | Error::NoFfmpeg(_)
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
                    A::UnsupportedSpace { .. } | A::ReplayTooLarge { .. } | A::NetworksTooLarge { .. } | A::Spec { .. }
                )
            }
            Error::Cli(error) => error.is_users(),
            Error::Policy(_) | Error::Io { .. } | Error::Folder { .. } | Error::OutOfMemory | Error::Panicked(_) => {
                false
            }
        }
    }

    /// What to do about it, where the message does not say.
    pub fn hint(&self) -> Option<String> {
        use sac_agents::Error as A;
        match self {
            Error::Env(EnvError::UnknownId { id, .. }) => {
                Some(familiar::env(id).unwrap_or("`sac envs` lists all environments").into())
            }
            Error::Cli(error) => error.hint(),
            Error::RunExists(path) if can_be_resumed(path) => Some(format!(
                "choose another --run-dir, or continue it with --resume {}",
                shell::word(path)
            )),
            Error::InUse { .. } => Some("wait until it ends, or stop it; it saves what it has".into()),
            Error::RunExists(_) => Some("choose another --run-dir: one that is empty or does not exist".into()),
            Error::NoCheckpoint(path) => Some(format!(
                "the same run again, from its beginning: sac train --config {}",
                shell::word(&path.join("config.toml"))
            )),
            Error::NotExportable { .. } => {
                Some("a part of a program's own is exported if it implements `trace`: see docs/deploy.md".into())
            }
            Error::OutputExists(_) => Some("choose another --out".into()),
            Error::NoFfmpeg(_) => Some("install ffmpeg, or name a .gif, which needs no other program".into()),
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
            Error::Agents(A::NotSaved { checkpoint, .. }) => Some(match checkpoint {
                Some(_) => "make room or mend the folder; --resume repeats the run from the last checkpoint".into(),
                None => "make room or mend the folder, and train again".into(),
            }),
            Error::Agents(A::EnvDuringTraining {
                checkpoint: Some(_), ..
            }) => {
                Some("once the environment is fixed, --resume goes on from the checkpoint with a new episode".into())
            }
            _ => None,
        }
    }
}

/// Whether a folder is that of a run, or of the runs of several seeds.
fn can_be_resumed(path: &Path) -> bool {
    ["config.toml", "seeds.toml"]
        .iter()
        .any(|file| path.join(file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_as_a_sentence_from_main() {
        let error = Error::NotARun {
            path: "runs/none".into(),
            problem: "no such folder".into(),
        };
        assert_eq!(format!("{error:?}"), "runs/none: no such folder");
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = Error::io("config.toml")(refused);
        assert_eq!(
            format!("{error:?}"),
            "config.toml: permission denied",
            "the cause is said once"
        );
        let error = Error::RunExists("runs/none".into());
        assert!(
            format!("{error:?}").ends_with("\nhint: choose another --run-dir: one that is empty or does not exist")
        );
    }
}
