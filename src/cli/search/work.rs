//! The trials of a search, several at a time, each run in a process of its own: [`Work`].

use std::{
    process::{Child, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use sac_report::{folder::evaluations, state::State};
use serde_json::Value;

use super::{
    file::{Search, trial_folder},
    folder::SearchFolder,
    halving::{Step, ranked, steps},
    journal::{Ended, Trial},
    space::Point,
};
use crate::{
    cli::many::{
        board::{Board, Row},
        claim::Claim,
        planned::Planned,
        training::{self, Program, state_of, terminate},
    },
    error::{Error, Result},
    stop::Stop,
};

/// How often ends of processes are looked for.
const POLL: Duration = Duration::from_millis(50);

/// How often it is looked whether other processes have made something possible.
const LOOK: Duration = Duration::from_secs(1);

/// Where so many trials have failed and none has a value, the search is wrong and not its settings.
const ALL_FAILED: usize = 3;

/// What is to be done, and with what.
pub struct Work<'a> {
    pub folder: &'a SearchFolder,
    pub search: &'a Search,
    pub rungs: &'a [u64],
    /// Runs at a time.
    pub jobs: usize,
    pub program: &'a Program,
    pub stop: &'a Stop,
    /// Whether to wait for trials that other processes train.
    pub waits: bool,
}

/// A trial that this process trains, one of its runs after another.
struct Running {
    number: u64,
    runs: Vec<Planned>,
    /// The run that is trained now.
    at: usize,
    until: u64,
    child: Child,
    /// Held until the trial pauses or ends.
    _claim: Claim,
}

/// What this process can do now.
enum Next {
    Train(Running),
    /// What is left is being trained, here or by other processes.
    Elsewhere,
    Nothing,
}

impl Work<'_> {
    /// Works until nothing is left to do, or until it is told to stop.
    ///
    /// # Errors
    /// When a file of the search cannot be written; when every trial fails.
    pub fn work(&self, board: &mut Board) -> Result<()> {
        let mut running: Vec<Running> = Vec::new();
        let (mut is_told, mut is_waiting, mut is_done) = (false, false, false);
        let mut looked = Instant::now();
        loop {
            if self.take_ends(&mut running, board)? {
                (is_waiting, is_done) = (false, false);
            }
            let is_stopping = self.stop.is_requested();
            if is_stopping && !is_told {
                is_told = true;
                board.say("stopping; the runs save what they have");
                running.iter().for_each(|one| terminate(&one.child));
            }
            if running.is_empty() && (is_stopping || is_done || is_waiting && !self.waits) {
                return Ok(());
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                is_waiting = false;
                board.look();
            }
            while !is_stopping && !is_waiting && !is_done && running.len() < self.jobs {
                match self.next(board)? {
                    Next::Train(one) => running.push(one),
                    Next::Elsewhere => is_waiting = true,
                    Next::Nothing => is_done = true,
                }
            }
            sleep(POLL);
        }
    }

    /// Takes the most urgent of what nobody does yet.
    fn next(&self, board: &mut Board) -> Result<Next> {
        let _turn = self.folder.turn()?;
        let journal = self.folder.journal();
        let mut trials = journal.trials()?;
        self.clear(&mut trials)?;
        let failed: Vec<&str> = trials.iter().filter_map(Trial::failure).collect();
        if failed.len() >= ALL_FAILED && failed.len() == trials.len() {
            return Err(Error::Usage(format!(
                "the first {} trials all failed: {}",
                failed.len(),
                failed[0]
            )));
        }
        let mut is_elsewhere = false;
        for step in steps(&trials, self.search.trials, self.rungs, self.search.prune) {
            let number = match step {
                Step::GoOn(number) | Step::Promote(number, _) => number,
                Step::Begin => trials.len() as u64,
            };
            let Some(claim) = self.folder.claim(number)? else {
                is_elsewhere = true;
                continue;
            };
            let trial = match step {
                Step::GoOn(_) => trials[number as usize].clone(),
                Step::Promote(_, until) => {
                    journal.promote(number, until)?;
                    Trial {
                        until: Some(until),
                        ..trials[number as usize].clone()
                    }
                }
                Step::Begin => {
                    let trial = self.drawn(number, &trials);
                    journal.begin(&trial, &self.search.space, &trial_folder(number))?;
                    board.count(trials.len() + 1);
                    trial
                }
            };
            match self.begin(&trial, claim, board)? {
                Some(one) => return Ok(Next::Train(one)),
                // One that outlived its search.
                None => is_elsewhere = true,
            }
        }
        Ok(if is_elsewhere { Next::Elsewhere } else { Next::Nothing })
    }

    /// Ends trials that were cut off in the moment in which they began.
    fn clear(&self, trials: &mut [Trial]) -> Result<()> {
        for trial in trials
            .iter_mut()
            .filter(|trial| trial.until.is_none() && trial.ended.is_none())
        {
            let ended = Ended::Failed("was cut off before it began".to_string());
            self.folder.journal().end(trial.number, &ended, None)?;
            trial.ended = Some(ended);
        }
        Ok(())
    }

    fn drawn(&self, number: u64, trials: &[Trial]) -> Trial {
        let before: Vec<&Point> = ranked(trials).iter().map(|trial| &trial.point).collect();
        let Search {
            sampler, space, seed, ..
        } = self.search;
        Trial {
            number,
            point: sampler.draw(space, *seed, number, &before),
            until: self.rungs.first().copied(),
            ..Trial::default()
        }
    }

    /// Begins the first run of a trial; `None` where a process still trains it.
    fn begin(&self, trial: &Trial, claim: Claim, board: &mut Board) -> Result<Option<Running>> {
        let runs = self.search.runs(trial.number, &trial.point);
        let until = trial.until.unwrap_or(self.search.env_steps);
        if runs
            .iter()
            .any(|run| matches!(state_of(&self.folder.run(run)), Some(State::Running { .. })))
        {
            return Ok(None);
        }
        let settings = self.search.space.assignments(&trial.point).join(" ");
        let said = match trial.newest() {
            None => format!("trial {}: begins: {settings}", trial.number),
            Some((steps, _)) => format!("trial {}: goes on from {steps} to {until} env steps", trial.number),
        };
        let child = self.train(trial.number, &runs[0], until)?;
        board.started(self.row(&runs[0], until), &said);
        Ok(Some(Running {
            number: trial.number,
            runs,
            at: 0,
            until,
            child,
            _claim: claim,
        }))
    }

    fn train(&self, number: u64, run: &Planned, until: u64) -> Result<Child> {
        let pause_at = Some(until).filter(|until| *until < self.search.env_steps);
        self.program
            .train(run, &self.folder.run(run), &self.folder.log(number), pause_at)
    }

    fn row(&self, run: &Planned, until: u64) -> Row {
        Row {
            name: match self.search.seeds.len() {
                1 => run.label.clone(),
                _ => format!("{}, seed {}", run.label, run.seed),
            },
            run: self.folder.run(run),
            until,
        }
    }

    /// Takes in which children have ended, and how; whether any has.
    fn take_ends(&self, running: &mut Vec<Running>, board: &mut Board) -> Result<bool> {
        let mut has_ended = false;
        let mut at = 0;
        while at < running.len() {
            let Some(status) = self.program.ended(&mut running[at].child)? else {
                at += 1;
                continue;
            };
            has_ended = true;
            let one = running.remove(at);
            if let Some(one) = self.after(one, status, board)? {
                running.insert(at, one);
                at += 1;
            }
        }
        Ok(has_ended)
    }

    /// Goes on with the next run of a trial, or notes what has become of it.
    fn after(&self, mut one: Running, status: ExitStatus, board: &mut Board) -> Result<Option<Running>> {
        let run = &one.runs[one.at];
        board.left(&self.row(run, one.until));
        let (path, log) = (self.folder.run(run), self.folder.log(one.number));
        let has_reached = match training::end(&path, &log, status, self.stop.is_requested()) {
            State::Finished => true,
            State::Interrupted => status.success(),
            State::Running { .. } => false,
            State::Failed { reason } | State::Unreadable { reason } => {
                self.fail(one.number, reason, board)?;
                return Ok(None);
            }
        };
        if !has_reached {
            return Ok(None);
        }
        if one.at + 1 < one.runs.len() {
            one.at += 1;
            one.child = self.train(one.number, &one.runs[one.at], one.until)?;
            let row = self.row(&one.runs[one.at], one.until);
            let said = format!("{}: begins", row.name);
            board.started(row, &said);
            return Ok(Some(one));
        }
        self.report(&one, board)?;
        Ok(None)
    }

    fn fail(&self, number: u64, reason: String, board: &mut Board) -> Result<()> {
        let reason = reason.lines().next().unwrap_or_default().to_string();
        board.say(&format!("trial {number} failed: {reason}"));
        let _turn = self.folder.turn()?;
        self.folder.journal().end(number, &Ended::Failed(reason), None)
    }

    /// Notes the value of a trial whose runs have all reached what they were to reach.
    fn report(&self, one: &Running, board: &mut Board) -> Result<()> {
        let value = match self.value(one) {
            Ok(value) => value,
            Err(problem) => return self.fail(one.number, problem, board),
        };
        board.say(&format!(
            "trial {}: {value:.2} after {} env steps",
            one.number, one.until
        ));
        let is_at_end = one.until >= self.search.env_steps;
        let _turn = self.folder.turn()?;
        let journal = self.folder.journal();
        journal.report(one.number, one.until, value)?;
        if is_at_end {
            journal.end(one.number, &Ended::Complete, Some(value))?;
        }
        Ok(())
    }

    /// The mean of the objective over the runs of a trial.
    fn value(&self, one: &Running) -> std::result::Result<f64, String> {
        let mut sum = 0.0;
        for run in &one.runs {
            let columns = evaluations(&self.folder.run(run)).map_err(|error| error.to_string())?;
            let returns = returns_until(&columns, one.until)?;
            sum += self.search.objective.of(&returns).ok_or("nothing was evaluated")?;
        }
        Ok(sum / one.runs.len() as f64)
    }
}

/// The mean returns of the evaluations up to a number of env steps.
fn returns_until(columns: &serde_json::Map<String, Value>, until: u64) -> std::result::Result<Vec<f64>, String> {
    let column = |name: &str| columns.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let pairs = column("env_steps").into_iter().zip(column("mean_return"));
    let within = pairs.filter(|(steps, _)| steps.as_u64().is_some_and(|steps| steps <= until));
    let returns: Option<Vec<f64>> = within.map(|(_, value)| value.as_f64()).collect();
    returns.ok_or_else(|| "an evaluation is not a number".to_string())
}
