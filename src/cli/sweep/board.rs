//! What is said of a sweep while it runs: a table on a terminal, a line for each event otherwise. [`Board`].

use std::{
    io::{self, IsTerminal},
    time::Instant,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sac_report::{
    listing::{self, Listed},
    state::State,
};

use super::{file::Planned, folder::SweepFolder};
use crate::cli::messages::say;

/// Progress of a sweep.
pub struct Board {
    total: usize,
    ended: usize,
    failed: usize,
    began: Instant,
    /// Lines of the runs that this process trains, by their index.
    rows: Vec<(usize, Planned, Option<ProgressBar>)>,
    /// On a terminal, the lines, and the last of them.
    live: Option<(MultiProgress, ProgressBar)>,
    is_quiet: bool,
}

impl Board {
    pub fn new(total: usize, is_quiet: bool) -> Board {
        let live = (!is_quiet && io::stderr().is_terminal()).then(|| {
            let lines = MultiProgress::new();
            let bar = lines.add(ProgressBar::new(total as u64));
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} runs  {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            (lines, bar)
        });
        Board {
            total,
            ended: 0,
            failed: 0,
            began: Instant::now(),
            rows: Vec::new(),
            live,
            is_quiet,
        }
    }

    /// Says a line, above the table if there is one.
    pub fn say(&self, text: &str) {
        match &self.live {
            _ if self.is_quiet => {}
            // Where the terminal is gone, nobody reads it.
            Some((lines, _)) => drop(lines.println(text)),
            None => say(text),
        }
    }

    pub fn started(&mut self, index: usize, run: &Planned) {
        let line = self.live.as_ref().map(|(lines, last)| {
            let line = lines.insert_before(last, ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {msg}") {
                line.set_style(style);
            }
            line.set_message(format!("{}  begins", name(run)));
            line
        });
        if line.is_none() {
            self.say(&format!("started {}", name(run)));
        }
        self.rows.push((index, run.clone(), line));
    }

    /// Takes in that a run has ended, or had ended before.
    pub fn ended(&mut self, index: usize, run: &Planned, state: &State) {
        let row = self.rows.iter().position(|(other, ..)| *other == index);
        let was_ours = row.map(|at| self.rows.remove(at));
        if let Some((_, _, Some(line))) = &was_ours {
            line.finish_and_clear();
        }
        self.ended += 1;
        self.failed += usize::from(matches!(state, State::Failed { .. }));
        if was_ours.is_some() || *state != State::Finished {
            let place = format!(
                "[{}/{}, {:.0} s]",
                self.ended,
                self.total,
                self.began.elapsed().as_secs_f64()
            );
            self.say(&format!("{place} {}: {state}", name(run)));
        }
        if let Some((_, bar)) = &self.live {
            bar.set_position(self.ended as u64);
            if self.failed > 0 {
                bar.set_message(format!("{} failed", self.failed));
            }
        }
    }

    /// Reads how far the runs of the table are.
    pub fn look(&self, folder: &SweepFolder) {
        for (_, run, line) in &self.rows {
            let Some(line) = line else { continue };
            let found = listing::listed(&folder.run(run));
            line.set_message(format!("{}  {}", name(run), progress(run, &found)));
        }
        if let Some((_, bar)) = &self.live {
            bar.tick();
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for line in self.rows.iter().filter_map(|(_, _, line)| line.as_ref()) {
            line.finish_and_clear();
        }
        if let Some((_, bar)) = &self.live {
            bar.finish_and_clear();
        }
    }
}

fn name(run: &Planned) -> String {
    format!("{}, {}, seed {}", run.env, run.label, run.seed)
}

fn progress(run: &Planned, found: &Listed) -> String {
    let number = |name: &str, value: Option<f64>| value.map_or(String::new(), |value| format!("  {name} {value:.1}"));
    format!(
        "{:>3} %  {}/{}{}{}",
        found.env_steps * 100 / run.env_steps.max(1),
        found.env_steps,
        run.env_steps,
        number("last", found.last),
        number("best", found.best)
    )
}
