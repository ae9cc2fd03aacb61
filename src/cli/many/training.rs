//! Trainings in processes of their own: [`Program`] begins them, [`end`] says how they left their runs.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use sac_cli::exit_code::INTERRUPTED;
use sac_report::{
    folder, listing,
    state::{self, Failure, State},
};
use sysinfo::{Pid, ProcessesToUpdate, Signal, System};

use super::planned::Planned;
use crate::{
    error::{Error, Result},
    run::{FolderLock, note_failure},
};

/// The program that trains.
pub struct Program {
    /// Begins its command line.
    pub words: Vec<OsString>,
    /// Threads of the updates of every run.
    pub threads: u64,
}

impl Program {
    /// Trains a run in a folder, from its newest checkpoint if it has one, to its end or to a pause. What the process says
    /// goes to the end of `log`.
    ///
    /// # Errors
    /// When the process cannot be started, or a file cannot be written.
    pub fn train(&self, run: &Planned, path: &Path, log: &Path, pause_at: Option<u64>) -> Result<Child> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg("train");
        if path.join("checkpoints/latest").exists() {
            command.arg("--resume").arg(path);
        } else {
            remove_unbegun(path)?;
            command.args(run.arguments()).arg("--run-dir").arg(path);
        }
        if let Some(pause_at) = pause_at {
            command.args(["--pause-at", &pause_at.to_string()]);
        }
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io(log))?;
        command
            .args(["--threads", &self.threads.to_string(), "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C is for this process, which tells the others once: a second signal would end them without a checkpoint.
            .process_group(0);
        command.spawn().map_err(Error::io(&self.words[0]))
    }

    /// Whether a training has ended, and how.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&self, child: &mut Child) -> Result<Option<ExitStatus>> {
        child.try_wait().map_err(Error::io(&self.words[0]))
    }
}

/// How a training that has ended left its run; `was_stopped` if it was asked to end.
pub fn end(path: &Path, log: &Path, status: ExitStatus, was_stopped: bool) -> State {
    match state_of(path) {
        Some(state @ (State::Running { .. } | State::Finished | State::Failed { .. })) => state,
        // One that was only just starting has no handler of signals yet. One that paused has done as it was told.
        _ if status.success() || status.code() == Some(i32::from(INTERRUPTED)) || was_stopped => State::Interrupted,
        _ => {
            let reason = reason(log, status);
            note_failure(path, &reason);
            State::Failed { reason }
        }
    }
}

/// Why a process ended, by what it said last.
fn reason(log: &Path, status: ExitStatus) -> String {
    if let Some(signal) = status.signal() {
        return format!("was ended by signal {signal}");
    }
    let log = fs::read_to_string(log).unwrap_or_default();
    let error = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.map_or_else(|| format!("ended with {status}"), str::to_string)
}

/// The state of a run; `None` where it has not begun.
pub fn state_of(path: &Path) -> Option<State> {
    if path.join("config.toml").is_file() {
        return Some(match listing::listed(path).state {
            // It was killed between its last evaluation and its only checkpoint.
            State::Finished if folder::saved(path).is_none() => State::Interrupted,
            state => state,
        });
    }
    if let Some(by) = state::holder(path) {
        return Some(State::Running { by });
    }
    Failure::read(path).map(|failure| State::Failed { reason: failure.error })
}

/// Removes what is there of a run that has no checkpoint to go on from.
fn remove_unbegun(path: &Path) -> Result<()> {
    if path.is_dir() {
        // Nobody may be about to train in it.
        let _lock = FolderLock::acquire(path)?;
        fs::remove_dir_all(path).map_err(Error::io(path))?;
    }
    Ok(())
}

/// Asks a process to save and end.
pub fn terminate(child: &Child) {
    let id = Pid::from_u32(child.id());
    if let Ok(mut system) = System::new() {
        system.refresh_processes(ProcessesToUpdate::Some(&[id]), false);
        if let Some(process) = system.process(id) {
            let _ = process.kill_with(Signal::Term);
        }
    }
}
