//! What is said of runs while they train: a table on a terminal, a line for each event otherwise. [`Board`].

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Instant,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sac_cli::messages::say;
use sac_report::{
    listing::{self, Listed},
    state::State,
};

/// A run as a row of the table.
#[derive(Clone, PartialEq)]
pub struct Row {
    pub name: String,
    /// Its folder.
    pub run: PathBuf,
    /// Env steps that it is to reach.
    pub until: u64,
}

/// Progress of many runs.
pub struct Board {
    total: usize,
    ended: usize,
    failed: usize,
    began: Instant,
    /// Those that this process trains, with their lines on a terminal.
    rows: Vec<(Row, Option<ProgressBar>)>,
    /// On a terminal, the lines, and the last of them.
    live: Option<(MultiProgress, ProgressBar)>,
    is_quiet: bool,
}

impl Board {
    /// For so many `things`, such as runs.
    pub fn new(total: usize, things: &str, is_quiet: bool) -> Board {
        let live = (!is_quiet && io::stderr().is_terminal()).then(|| {
            let lines = MultiProgress::new();
            let bar = lines.add(ProgressBar::new(total as u64));
            let template = format!("{{wide_bar}} {{pos}}/{{len}} {things}  {{elapsed_precise}}  {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
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

    /// Takes a run in that begins; without a table, `said` says so.
    pub fn started(&mut self, row: Row, said: &str) {
        let line = self.live.as_ref().map(|(lines, last)| {
            let line = lines.insert_before(last, ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {msg}") {
                line.set_style(style);
            }
            line.set_message(format!("{}  begins", row.name));
            line
        });
        if line.is_none() {
            self.say(said);
        }
        self.rows.push((row, line));
    }

    /// Takes a run from the table; whether it was there.
    pub fn left(&mut self, row: &Row) -> bool {
        let Some(at) = self.rows.iter().position(|(other, _)| other == row) else {
            return false;
        };
        if let (_, Some(line)) = self.rows.remove(at) {
            line.finish_and_clear();
        }
        true
    }

    /// Takes in that a run has ended, or had ended before.
    pub fn ended(&mut self, row: &Row, state: &State) {
        let was_ours = self.left(row);
        self.failed += usize::from(matches!(state, State::Failed { .. }));
        self.count(self.ended + 1);
        if was_ours || *state != State::Finished {
            let seconds = self.began.elapsed().as_secs_f64();
            self.say(&format!(
                "[{}/{}, {seconds:.0} s] {}: {state}",
                self.ended, self.total, row.name
            ));
        }
    }

    /// Takes in how many things are done.
    pub fn count(&mut self, ended: usize) {
        self.ended = ended;
        if let Some((_, bar)) = &self.live {
            bar.set_position(self.ended as u64);
            if self.failed > 0 {
                bar.set_message(format!("{} failed", self.failed));
            }
        }
    }

    /// Reads how far the runs of the table are.
    pub fn look(&self) {
        for (row, line) in &self.rows {
            let Some(line) = line else { continue };
            line.set_message(format!("{}  {}", row.name, progress(row, &listing::listed(&row.run))));
        }
        if let Some((_, bar)) = &self.live {
            bar.tick();
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        for line in self.rows.iter().filter_map(|(_, line)| line.as_ref()) {
            line.finish_and_clear();
        }
        if let Some((_, bar)) = &self.live {
            bar.finish_and_clear();
        }
    }
}

fn progress(row: &Row, found: &Listed) -> String {
    let number = |name: &str, value: Option<f64>| value.map_or(String::new(), |value| format!("  {name} {value:.1}"));
    format!(
        "{:>3} %  {}/{}{}{}",
        found.env_steps * 100 / row.until.max(1),
        found.env_steps,
        row.until,
        number("last", found.last),
        number("best", found.best)
    )
}
