//! The bar of a training on a terminal: [`Bar`].

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use sac_agents::{EnvSteps, trainer::settings::TrainSettings};
use sac_cli::messages::step_aside_for;

/// A progress bar on stderr for one run or several, with their speed and the time left. It is removed when dropped.
pub struct Bar {
    bar: ProgressBar,
    pace: Arc<Pace>,
}

impl Bar {
    /// A bar for `runs` runs of these settings, if stderr is a terminal.
    pub fn on_terminal(train: &TrainSettings, runs: u64) -> Option<Bar> {
        io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(train.total_env_steps.saturating_mul(runs));
            let pace = Arc::new(Pace::new(train, runs));
            // The bar takes what the numbers leave of the line, so that it is one line on a terminal of 80 columns.
            let template = "{wide_bar} {human_pos}/{human_len} env steps  {pace}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                let pace = pace.clone();
                bar.set_style(
                    style.with_key("pace", move |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let left = state.len().unwrap_or_default().saturating_sub(state.pos());
                        let _ = out.write_str(&pace.describe(left, Instant::now()));
                    }),
                );
            }
            step_aside_for(Some(bar.clone()));
            Bar { bar, pace }
        })
    }

    /// Takes in that one of the runs is at `env_steps`; `seen` is where it was before, `None` at first.
    pub fn advance(&self, seen: Option<EnvSteps>, env_steps: EnvSteps) {
        self.pace.advance(seen, env_steps, Instant::now);
        self.bar.inc(env_steps.0.saturating_sub(seen.unwrap_or_default().0));
        if seen.is_none() {
            self.bar.enable_steady_tick(Duration::from_millis(500));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        step_aside_for(None);
    }
}

/// The speed of learning. Neither the random steps of the warm-up, which are many times as fast, nor the earlier steps
/// of a resumed run count.
struct Pace {
    /// Env steps of the warm-up of each run.
    warmup: u64,
    /// When the first run ended its warm-up.
    since: OnceLock<Instant>,
    /// Env steps of all runs after their warm-up, since then.
    learned: AtomicU64,
    /// Env steps of warm-ups that are still to come.
    warmup_left: AtomicU64,
}

impl Pace {
    fn new(train: &TrainSettings, runs: u64) -> Self {
        let warmup = train.warmup_env_steps.min(train.total_env_steps);
        Pace {
            warmup,
            since: OnceLock::new(),
            learned: AtomicU64::new(0),
            warmup_left: AtomicU64::new(warmup.saturating_mul(runs)),
        }
    }

    /// As [`Bar::advance`]. `now` is asked at the end of the first warm-up.
    fn advance(&self, seen: Option<EnvSteps>, env_steps: EnvSteps, now: impl FnOnce() -> Instant) {
        let before = seen.unwrap_or_default().0;
        let warm = env_steps.0.min(self.warmup) - before.min(self.warmup);
        if warm > 0 {
            self.warmup_left.fetch_sub(warm, Relaxed);
        }
        if env_steps.0 < self.warmup {
            return;
        }
        self.since.get_or_init(now);
        // The first count of a resumed run holds its earlier steps.
        if seen.is_some() {
            self.learned.fetch_add((env_steps.0 - before) - warm, Relaxed);
        }
    }

    /// Speed and time left at an instant, where `left` env steps of all runs are still to come.
    fn describe(&self, left: u64, at: Instant) -> String {
        let Some(since) = self.since.get() else {
            return "warm-up".to_string();
        };
        let learned = self.learned.load(Relaxed);
        let elapsed_s = at.saturating_duration_since(*since).as_secs_f64();
        if learned == 0 || elapsed_s == 0.0 {
            return "learning".to_string();
        }
        let per_s = learned as f64 / elapsed_s;
        let left = left.saturating_sub(self.warmup_left.load(Relaxed));
        let seconds = (left as f64 / per_s).ceil() as u64;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{per_s:.0} steps/s  {hours}:{minutes:02}:{seconds:02} left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(total: u64, warmup: u64, runs: u64) -> Pace {
        let train = TrainSettings {
            total_env_steps: total,
            warmup_env_steps: warmup,
            ..TrainSettings::default()
        };
        Pace::new(&train, runs)
    }

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    #[test]
    fn speed_and_time_left_do_not_count_the_warm_up() {
        let (pace, begin) = (pace(5000, 1000, 1), Instant::now());
        pace.advance(None, EnvSteps(1), || begin);
        pace.advance(Some(EnvSteps(1)), EnvSteps(999), || begin);
        assert_eq!(pace.describe(4001, after(begin, 1)), "warm-up");
        pace.advance(Some(EnvSteps(999)), EnvSteps(1000), || after(begin, 2));
        assert_eq!(pace.describe(4000, after(begin, 2)), "learning");
        pace.advance(Some(EnvSteps(1000)), EnvSteps(1400), || unreachable!("begun"));
        // 400 steps in 4 s, and 3600 to come.
        assert_eq!(pace.describe(3600, after(begin, 6)), "100 steps/s  0:00:36 left");
    }

    #[test]
    fn the_earlier_steps_of_a_resumed_run_have_no_speed() {
        let (pace, begin) = (pace(100_000, 1000, 1), Instant::now());
        pace.advance(None, EnvSteps(90_001), || begin);
        pace.advance(Some(EnvSteps(90_001)), EnvSteps(90_101), || unreachable!("begun"));
        assert_eq!(pace.describe(9899, after(begin, 1)), "100 steps/s  0:01:39 left");
    }

    #[test]
    fn the_warm_up_of_a_run_that_waits_for_a_thread_does_not_count() {
        let (pace, begin) = (pace(2000, 1000, 2), Instant::now());
        pace.advance(None, EnvSteps(1000), || begin);
        pace.advance(Some(EnvSteps(1000)), EnvSteps(1100), || unreachable!("begun"));
        // 900 steps of the first run and 1000 of the second, whose warm-up takes no time.
        assert_eq!(pace.describe(2900, after(begin, 1)), "100 steps/s  0:00:19 left");
        pace.advance(None, EnvSteps(500), || unreachable!("begun"));
        assert_eq!(pace.describe(2400, after(begin, 1)), "100 steps/s  0:00:19 left");
    }

    #[test]
    fn without_a_warm_up_the_first_step_begins() {
        let (pace, begin) = (pace(100, 0, 1), Instant::now());
        pace.advance(None, EnvSteps(1), || begin);
        pace.advance(Some(EnvSteps(1)), EnvSteps(11), || unreachable!("begun"));
        assert_eq!(pace.describe(89, after(begin, 1)), "10 steps/s  0:00:09 left");
    }
}
