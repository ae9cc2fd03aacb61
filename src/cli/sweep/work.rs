//! The runs of a sweep, several at a time, each in a process of its own: [`Work`].

use std::{
    collections::VecDeque,
    process::{Child, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use sac_report::state::{self, State};

use super::folder::SweepFolder;
use crate::{
    cli::many::{
        board::{Board, Row},
        claim::Claim,
        planned::Planned,
        training::{self, Program, state_of, terminate},
    },
    error::Result,
    stop::Stop,
};

/// How often ends of processes are looked for.
const POLL: Duration = Duration::from_millis(50);

/// How often runs are looked at that other processes train.
const LOOK: Duration = Duration::from_secs(1);

/// What is to be done, and with what.
pub struct Work<'a> {
    pub folder: &'a SweepFolder,
    pub runs: &'a [Planned],
    /// Runs at a time.
    pub jobs: usize,
    pub program: &'a Program,
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
                running.iter().for_each(|one| terminate(&one.child));
            }
            let is_done = waiting.is_empty() && (elsewhere.is_empty() || !self.waits);
            if running.is_empty() && (is_stopping || is_done) {
                return Ok(());
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                waiting.extend(elsewhere.drain(..));
                board.look();
            }
            while !is_stopping && running.len() + self.outlived(&elsewhere) < self.jobs {
                let Some(index) = waiting.pop_front() else { break };
                match self.begin(index, failed_before[index])? {
                    Begun::Running(one) => {
                        let row = self.row(index);
                        let said = format!("started {}", row.name);
                        board.started(row, &said);
                        running.push(one);
                    }
                    Begun::Elsewhere => elsewhere.push(index),
                    Begun::Ended(state) => board.ended(&self.row(index), &state),
                }
            }
            sleep(POLL);
        }
    }

    fn row(&self, index: usize) -> Row {
        let run = &self.runs[index];
        Row {
            name: format!("{}, {}, seed {}", run.env, run.label, run.seed),
            run: self.folder.run(run),
            until: run.env_steps,
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
        Ok(Begun::Running(Running {
            index,
            child: self.program.train(run, &path, &self.folder.log(run), None)?,
            _claim: claim,
        }))
    }

    /// Takes in which children have ended, and how.
    fn take_ends(&self, running: &mut Vec<Running>, elsewhere: &mut Vec<usize>, board: &mut Board) -> Result<()> {
        let mut at = 0;
        while at < running.len() {
            let Some(status) = self.program.ended(&mut running[at].child)? else {
                at += 1;
                continue;
            };
            let Running { index, _claim, .. } = running.remove(at);
            match self.end(&self.runs[index], status) {
                // One that outlived its sweep was faster; ours was refused.
                State::Running { .. } => elsewhere.push(index),
                state => board.ended(&self.row(index), &state),
            }
        }
        Ok(())
    }

    /// How a child left its run.
    fn end(&self, run: &Planned, status: ExitStatus) -> State {
        training::end(
            &self.folder.run(run),
            &self.folder.log(run),
            status,
            self.stop.is_requested(),
        )
    }
}
