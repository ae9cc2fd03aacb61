//! The runs of a sweep, several at a time, each in a process of its own: [`Work`].

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use sac_report::{
    listing,
    state::{self, Failure, State},
};
use sysinfo::{Pid, ProcessesToUpdate, Signal, System};

use super::{
    board::Board,
    file::Planned,
    folder::{Claim, SweepFolder},
};
use crate::{
    error::{Error, Result},
    run::{FolderLock, note_failure},
    stop::{INTERRUPTED, Stop},
};

/// How often ends of processes are looked for.
const POLL: Duration = Duration::from_millis(50);

/// How often runs are looked at that other processes train.
const LOOK: Duration = Duration::from_secs(1);

/// What is to be done, and with what.
pub struct Work<'a> {
    pub folder: &'a SweepFolder,
    pub runs: &'a [Planned],
    pub threads: u64,
    /// Runs at a time.
    pub jobs: usize,
    /// Begins the command line of the program that trains.
    pub program: &'a [OsString],
    pub stop: &'a Stop,
    /// Whether to wait for runs that other processes train.
    pub waits: bool,
}

/// A run that this process trains in a child.
struct Running {
    index: usize,
    child: Child,
    /// Held until the child has ended.
    _claim: Claim,
}

/// What has become of a run that was to begin.
enum Begun {
    Running(Running),
    /// A process trains it that is not ours: that of another sweep, or one that outlived its own.
    Elsewhere,
    Ended(State),
}

impl Work<'_> {
    /// Works until every run has finished or failed, also those that other processes train if it waits for them, or until it
    /// is told to stop.
    /// Runs that failed before are tried once more.
    ///
    /// # Errors
    /// When a file of the sweep cannot be written. Runs that fail are no error.
    pub fn work(&self, board: &mut Board) -> Result<()> {
        let failed_before: Vec<bool> = self.runs.iter().map(|run| self.has_failed(run)).collect();
        let mut waiting: VecDeque<usize> = (0..self.runs.len()).collect();
        let (mut running, mut elsewhere): (Vec<Running>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut looked = Instant::now();
        let mut is_told = false;
        loop {
            self.take_ends(&mut running, &mut elsewhere, board)?;
            let is_stopping = self.stop.is_requested();
            if is_stopping && !is_told {
                is_told = true;
                board.say("stopping; the runs save what they have");
                running.iter().for_each(|one| terminate(one.child.id()));
            }
            let is_done = waiting.is_empty() && (elsewhere.is_empty() || !self.waits);
            if running.is_empty() && (is_stopping || is_done) {
                return Ok(());
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                waiting.extend(elsewhere.drain(..));
                board.look(self.folder);
            }
            while !is_stopping && running.len() + self.outlived(&elsewhere) < self.jobs {
                let Some(index) = waiting.pop_front() else { break };
                match self.begin(index, failed_before[index])? {
                    Begun::Running(one) => {
                        board.started(index, &self.runs[index]);
                        running.push(one);
                    }
                    Begun::Elsewhere => elsewhere.push(index),
                    Begun::Ended(state) => board.ended(index, &self.runs[index], &state),
                }
            }
            sleep(POLL);
        }
    }

    fn has_failed(&self, run: &Planned) -> bool {
        matches!(state_of(&self.folder.run(run)), Some(State::Failed { .. }))
    }

    /// The number of these runs whose trainer has no sweep any more. It takes a core all the same.
    fn outlived(&self, elsewhere: &[usize]) -> usize {
        let is_orphan = |index: &&usize| {
            let run = &self.runs[**index];
            state::holder(&self.folder.run(run)).is_some() && matches!(self.folder.claim(run), Ok(Some(_)))
        };
        elsewhere.iter().filter(is_orphan).count()
    }

    fn begin(&self, index: usize, failed_before: bool) -> Result<Begun> {
        let run = &self.runs[index];
        let Some(claim) = self.folder.claim(run)? else {
            return Ok(Begun::Elsewhere);
        };
        let path = self.folder.run(run);
        match state_of(&path) {
            Some(State::Running { .. }) => return Ok(Begun::Elsewhere),
            Some(State::Finished) => return Ok(Begun::Ended(State::Finished)),
            Some(failed @ State::Failed { .. }) if !failed_before => return Ok(Begun::Ended(failed)),
            _ => {}
        }
        let mut command = self.command(run, &path)?;
        let child = command.spawn().map_err(Error::io(&self.program[0]))?;
        Ok(Begun::Running(Running {
            index,
            child,
            _claim: claim,
        }))
    }

    /// `sac train`, from the newest checkpoint of the run if it has one.
    fn command(&self, run: &Planned, path: &Path) -> Result<Command> {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).arg("train");
        if path.join("checkpoints/latest").exists() {
            command.arg("--resume").arg(path);
        } else {
            remove_unbegun(path)?;
            command
                .args(["--env", &run.env, "--algo", &run.algo])
                .arg("--run-dir")
                .arg(path);
            command.args(["--steps", &run.env_steps.to_string(), "--seed", &run.seed.to_string()]);
            command.args(run.config.iter().flat_map(|config| ["--config", config]));
            command.args(run.set.iter().flat_map(|setting| ["--set", setting]));
        }
        let log = self.folder.log(run);
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::io(&log))?;
        command
            .args(["--threads", &self.threads.to_string(), "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C is for this process, which tells the others once: a second signal would end them without a checkpoint.
            .process_group(0);
        Ok(command)
    }

    /// Takes in which children have ended, and how.
    fn take_ends(&self, running: &mut Vec<Running>, elsewhere: &mut Vec<usize>, board: &mut Board) -> Result<()> {
        let mut at = 0;
        while at < running.len() {
            let Some(status) = running[at].child.try_wait().map_err(Error::io(&self.program[0]))? else {
                at += 1;
                continue;
            };
            let Running { index, _claim, .. } = running.remove(at);
            let run = &self.runs[index];
            match self.end(run, status) {
                // One that outlived its sweep was faster; ours was refused.
                State::Running { .. } => elsewhere.push(index),
                state => board.ended(index, run, &state),
            }
        }
        Ok(())
    }

    /// How a child left its run.
    fn end(&self, run: &Planned, status: ExitStatus) -> State {
        let path = self.folder.run(run);
        match state_of(&path) {
            Some(state @ (State::Running { .. } | State::Finished | State::Failed { .. })) => state,
            // One that was only just starting has no handler of signals yet.
            _ if status.code() == Some(i32::from(INTERRUPTED)) || self.stop.is_requested() => State::Interrupted,
            _ => {
                let reason = self.reason(run, status);
                note_failure(&path, &reason);
                State::Failed { reason }
            }
        }
    }

    /// Why a child ended, by what it said last.
    fn reason(&self, run: &Planned, status: ExitStatus) -> String {
        if let Some(signal) = status.signal() {
            return format!("was ended by signal {signal}");
        }
        let log = fs::read_to_string(self.folder.log(run)).unwrap_or_default();
        let error = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
        error.map_or_else(|| format!("ended with {status}"), str::to_string)
    }
}

/// The state of a run; `None` where it has not begun.
pub fn state_of(path: &Path) -> Option<State> {
    if path.join("config.toml").is_file() {
        return Some(listing::listed(path).state);
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
fn terminate(id: u32) {
    let id = Pid::from_u32(id);
    if let Ok(mut system) = System::new() {
        system.refresh_processes(ProcessesToUpdate::Some(&[id]), false);
        if let Some(process) = system.process(id) {
            let _ = process.kill_with(Signal::Term);
        }
    }
}
