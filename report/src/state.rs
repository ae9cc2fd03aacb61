//! Whether a run is being trained, or how it ended: [`State`].

use std::{
    fmt,
    fs::{self, File, TryLockError},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// The file that the process that trains a run has locked, with its name in it: `process 17 on some-host`.
const LOCK: &str = ".lock";

/// The file that says why a run failed. It is gone as soon as the run goes on.
pub const FAILURE: &str = "failure.json";

/// Whether a run is being trained, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// A process trains it.
    Running {
        /// Process and host.
        by: String,
    },
    /// It took all of its env steps, or an evaluation reached `eval.stop_at`.
    Finished,
    /// It was stopped or killed before its end, and can be resumed.
    Interrupted,
    /// It ended with an error.
    Failed {
        /// The error.
        reason: String,
    },
    /// Its files are not those of a run.
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

impl State {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            State::Running { .. } => "running",
            State::Finished => "finished",
            State::Interrupted => "interrupted",
            State::Failed { .. } => "failed",
            State::Unreadable { .. } => "unreadable",
        }
    }

    /// Of the run in a folder; `is_finished` says whether its files are those of a run at its end.
    pub(crate) fn of(folder: &Path, is_finished: bool) -> State {
        match (holder(folder), Failure::read(folder)) {
            (Some(by), _) => State::Running { by },
            (None, Some(failure)) => State::Failed { reason: failure.error },
            (None, None) if is_finished => State::Finished,
            (None, None) => State::Interrupted,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            State::Failed { reason } | State::Unreadable { reason } => write!(f, ": {reason}"),
            State::Running { .. } | State::Finished | State::Interrupted => Ok(()),
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The message.
    pub error: String,
    /// Env steps that it had taken.
    pub at_env_steps: u64,
    /// When, in UTC.
    pub utc: String,
}

impl Failure {
    /// That of the run in a folder, if it failed.
    pub fn read(folder: &Path) -> Option<Failure> {
        let text = fs::read_to_string(folder.join(FAILURE)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// The process that trains in a folder, and its host; `None` where no process does. A process that was killed leaves its
/// name behind, but not the lock.
pub fn holder(folder: &Path) -> Option<String> {
    let path = folder.join(LOCK);
    let text = fs::read_to_string(&path).ok()?;
    let name = text.trim();
    // The lock is tried only where its holder may live, so that a trainer that is just starting finds it free.
    if name.is_empty() || is_gone(name) {
        return None;
    }
    let is_held = matches!(File::open(path).ok()?.try_lock_shared(), Err(TryLockError::WouldBlock));
    is_held.then(|| name.to_string())
}

/// Whether a holder is a process of this host that has ended.
fn is_gone(holder: &str) -> bool {
    let mut words = holder.split_whitespace();
    let id = words.nth(1).unwrap_or_default();
    let host = words.nth(1).unwrap_or_default();
    let here = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host == here.trim() && !Path::new("/proc").join(id).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_running_while_its_lock_is_held_and_not_because_of_a_name_that_was_left() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(LOCK);
        assert_eq!(holder(folder.path()), None, "no lock file");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("process {} on {}", std::process::id(), host.trim());
        fs::write(&path, format!("{name}\n")).expect("written");
        assert_eq!(holder(folder.path()), None, "nobody holds the lock");
        let file = File::open(&path).expect("there");
        file.lock().expect("free");
        assert_eq!(holder(folder.path()), Some(name.clone()));
        assert_eq!(State::of(folder.path(), true), State::Running { by: name });
        drop(file);
        assert_eq!(State::of(folder.path(), true), State::Finished);
        assert_eq!(State::of(folder.path(), false), State::Interrupted);
    }

    #[test]
    fn a_failure_has_its_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let failure = Failure {
            error: "the environment is gone".to_string(),
            at_env_steps: 7,
            utc: "2026-01-01T00:00:00Z".to_string(),
        };
        let text = serde_json::to_string(&failure).expect("JSON");
        fs::write(folder.path().join(FAILURE), text).expect("written");
        let state = State::of(folder.path(), false);
        assert_eq!(state.to_string(), "failed: the environment is gone");
    }
}
