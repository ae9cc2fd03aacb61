//! Progress on stderr: a bar on a terminal, plain lines otherwise.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sac_agents::{
    EnvSteps, GradSteps,
    log::{Row, Sink},
    metrics,
    trainer::settings::TrainSettings,
};
use sac_cli::messages::say;

use super::bar::Bar;

/// A line per row of the log; on a terminal a bar below them with steps per second and the time left.
pub struct Console {
    bar: Option<Bar>,
    seen: Option<EnvSteps>,
    header_shown: bool,
}

impl Console {
    pub fn new(train: &TrainSettings) -> Self {
        Console {
            bar: Bar::on_terminal(train, 1),
            seen: None,
            header_shown: false,
        }
    }
}

fn say_header() {
    say(&format!(
        "{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "env steps", "updates", "return", "eval", "q", "alpha", "steps/s"
    ));
}

/// `get` gives the value of a metric.
fn say_row(env_steps: EnvSteps, grad_steps: GradSteps, get: impl Fn(&str) -> Option<f64>) {
    say(&format!(
        "{:>10}{:>11}{}{}{}{}{}",
        env_steps.0,
        grad_steps.0,
        column(get(metrics::EPISODE_REWARD_MEAN), 2),
        column(get(metrics::EVAL_REWARD_MEAN), 2),
        column(get(metrics::Q_MEAN), 2),
        column(get(metrics::ALPHA), 4),
        column(get(metrics::FPS), 0),
    ));
}

fn column(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| format!("{:>11}", "-"), |value| format!("{value:>11.digits$}"))
}

impl Sink for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        if !self.header_shown {
            self.header_shown = true;
            say_header();
        }
        say_row(row.env_steps, row.grad_steps, |name| row.get(name));
        Ok(())
    }

    fn progress(&mut self, env_steps: EnvSteps) {
        if let Some(bar) = &self.bar {
            bar.advance(self.seen, env_steps);
        }
        self.seen = Some(env_steps);
    }
}

/// One console for several runs: a line when the last run that is being trained has reached a count, with means over
/// those, and one bar for all.
pub struct SharedConsole(Arc<Shared>);

struct Shared {
    /// Runs that are trained at the same time.
    at_a_time: usize,
    bar: Option<Bar>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// How far each run is; `None` for one that waits for a thread or has ended.
    runs: Vec<Option<EnvSteps>>,
    header_shown: bool,
    /// Rows by count; at the same count, those of a log before those of an evaluation.
    waiting: BTreeMap<(EnvSteps, bool), Vec<(usize, Row)>>,
}

/// The sink of one of the runs.
pub struct Share {
    shared: Arc<Shared>,
    run: usize,
    seen: Option<EnvSteps>,
}

impl SharedConsole {
    /// `train`: of each run; `at_a_time`: number of runs that are trained at the same time.
    pub fn new(train: &TrainSettings, runs: u64, at_a_time: usize) -> Self {
        SharedConsole(Arc::new(Shared {
            at_a_time,
            bar: Bar::on_terminal(train, runs),
            table: Mutex::default(),
        }))
    }

    /// The sink of one more run.
    pub fn share(&self) -> Share {
        let mut table = self.0.table();
        // Later runs wait for a thread: lines do not wait for them before they begin.
        let begins_now = table.runs.len() < self.0.at_a_time;
        table.runs.push(begins_now.then_some(EnvSteps(0)));
        Share {
            shared: self.0.clone(),
            run: table.runs.len() - 1,
            seen: None,
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Says the rows to which no run has anything to add.
    fn say_complete(&mut self) {
        while let Some(entry) = self.waiting.first_entry() {
            let (env_steps, _) = *entry.key();
            let is_due_from = |run: usize, at: &Option<EnvSteps>| {
                at.is_some_and(|at| at <= env_steps) && !entry.get().iter().any(|(other, _)| *other == run)
            };
            if self.runs.iter().enumerate().any(|(run, at)| is_due_from(run, at)) {
                return;
            }
            let rows = entry.remove();
            if !self.header_shown {
                self.header_shown = true;
                say_header();
            }
            let grad_steps = rows.iter().map(|(_, row)| row.grad_steps).max().unwrap_or_default();
            say_row(env_steps, grad_steps, |name| {
                let values: Vec<f64> = rows.iter().filter_map(|(_, row)| row.get(name)).collect();
                let sum: f64 = values.iter().sum();
                match (name, values.len()) {
                    (_, 0) => None,
                    (metrics::FPS, _) => Some(sum), // they run at the same time
                    (_, count) => Some(sum / count as f64),
                }
            });
        }
    }
}

impl Sink for Share {
    fn name(&self) -> &'static str {
        "console"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        let mut table = self.shared.table();
        table.runs[self.run] = Some(row.env_steps);
        let is_evaluation = row.get(metrics::EVAL_REWARD_MEAN).is_some();
        let rows = table.waiting.entry((row.env_steps, is_evaluation)).or_default();
        rows.push((self.run, row.clone()));
        table.say_complete();
        Ok(())
    }

    fn progress(&mut self, env_steps: EnvSteps) {
        if self.seen.is_none() {
            // A resumed run adds nothing to counts that it has passed.
            self.shared.table().runs[self.run] = Some(env_steps);
        }
        if let Some(bar) = &self.shared.bar {
            bar.advance(self.seen, env_steps);
        }
        self.seen = Some(env_steps);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        table.runs[self.run] = None;
        table.say_complete();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(env_steps: u64, name: &'static str, value: f64) -> Row {
        Row {
            env_steps: EnvSteps(env_steps),
            grad_steps: GradSteps(0),
            seconds: 0.0,
            values: vec![(name.into(), value)],
        }
    }

    fn shared(at_a_time: usize) -> SharedConsole {
        SharedConsole::new(&TrainSettings::default(), 3, at_a_time)
    }

    fn waiting(console: &SharedConsole) -> Vec<u64> {
        console.0.table().waiting.keys().map(|(at, _)| at.0).collect()
    }

    #[test]
    fn a_line_waits_for_the_last_run_that_is_still_there() {
        let console = shared(3);
        let mut shares = [console.share(), console.share(), console.share()];
        for share in &mut shares[..2] {
            share.row(&row(10, metrics::Q_MEAN, 1.0)).expect("said");
            share.row(&row(20, metrics::Q_MEAN, 1.0)).expect("said");
        }
        assert_eq!(waiting(&console), [10, 20], "the third has not come so far");
        shares[2].row(&row(10, metrics::Q_MEAN, 1.0)).expect("said");
        assert_eq!(waiting(&console), [20]);
        let [first, _second, third] = shares;
        drop(first);
        assert_eq!(waiting(&console), [20], "what a run that has ended said still waits");
        drop(third);
        assert!(waiting(&console).is_empty(), "nobody is left to wait for");
    }

    #[test]
    fn a_run_that_waits_for_a_thread_is_not_waited_for() {
        let console = shared(1);
        let (mut first, mut second) = (console.share(), console.share());
        first.row(&row(10, metrics::Q_MEAN, 1.0)).expect("said");
        assert!(waiting(&console).is_empty(), "the second has not begun");
        second.progress(EnvSteps(1));
        first.row(&row(20, metrics::Q_MEAN, 1.0)).expect("said");
        assert_eq!(waiting(&console), [20]);
    }

    #[test]
    fn a_run_that_was_resumed_further_on_is_not_waited_for() {
        let console = shared(2);
        let (mut behind, mut ahead) = (console.share(), console.share());
        ahead.progress(EnvSteps(51));
        behind.progress(EnvSteps(1));
        behind.row(&row(10, metrics::Q_MEAN, 1.0)).expect("said");
        assert!(waiting(&console).is_empty());
        behind.row(&row(60, metrics::Q_MEAN, 1.0)).expect("said");
        assert_eq!(waiting(&console), [60]);
    }
}
