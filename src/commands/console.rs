//! Progress on stderr: a bar on a terminal, plain lines otherwise.

use std::{
    fmt,
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use sac::agents::{
    EnvSteps,
    log::{Row, Sink},
    metrics,
};

use super::messages::{say, step_aside_for};

/// A line per row of the log; on a terminal a bar below them with steps per second and the time left.
pub struct Console {
    bar: Option<ProgressBar>,
    started: bool,
    header_shown: bool,
}

impl Console {
    pub fn new(total_env_steps: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total_env_steps);
            let template = "{bar:30} {human_pos}/{human_len} env steps  {speed}  {eta_precise} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                // The crate's own speed has four decimals and no name for what it counts.
                bar.set_style(
                    style.with_key("speed", |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let _ = write!(out, "{:.0} steps/s", state.per_sec());
                    }),
                );
            }
            step_aside_for(Some(bar.clone()));
            bar
        });
        Console {
            bar,
            started: false,
            header_shown: false,
        }
    }
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
            say(&format!(
                "{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}{:>11}",
                "env steps", "updates", "return", "eval", "q", "alpha", "steps/s"
            ));
        }
        let get = |name: &str| row.get(name);
        say(&format!(
            "{:>10}{:>11}{}{}{}{}{}",
            row.env_steps.0,
            row.grad_steps.0,
            column(get(metrics::EPISODE_REWARD_MEAN), 2),
            column(get(metrics::EVAL_REWARD_MEAN), 2),
            column(get(metrics::Q_MEAN), 2),
            column(get(metrics::ALPHA), 4),
            column(get(metrics::FPS), 0),
        ));
        Ok(())
    }

    fn progress(&mut self, env_steps: EnvSteps) {
        let Some(bar) = &self.bar else { return };
        if !self.started {
            // Speed and time left count from here: a resumed run has not made its earlier steps in no time.
            self.started = true;
            bar.set_position(env_steps.0);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        bar.set_position(env_steps.0);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        step_aside_for(None);
    }
}
