//! Wall time of a run and how it is spent: [`Clock`].

use std::time::Instant;

use crate::{metrics, schedule::EnvSteps};

/// What the loop spends time on.
#[derive(Clone, Copy)]
pub(super) enum Activity {
    /// Choosing actions.
    Acting,
    /// Stepping environments, or waiting for them.
    Stepping,
    /// Drawing batches and updating.
    Learning,
    /// Scoring the policy, or waiting for its score.
    Evaluating,
    /// Writing checkpoints.
    Saving,
    /// Everything else: mostly storing transitions and writing rows.
    Rest,
}

const METRICS: [(Activity, &str); 5] = [
    (Activity::Acting, metrics::ACTING_SHARE),
    (Activity::Stepping, metrics::STEPPING_SHARE),
    (Activity::Learning, metrics::LEARNING_SHARE),
    (Activity::Evaluating, metrics::EVALUATING_SHARE),
    (Activity::Saving, metrics::SAVING_SHARE),
];

/// Wall time of a run and how it is spent. Nothing that is learned depends on it.
pub(super) struct Clock {
    /// `None` before training starts.
    started: Option<Instant>,
    /// Wall time in training before `started`, seconds.
    seconds_before: f64,
    /// Time up to here has been attributed to an activity.
    mark: Instant,
    /// Since the last row, seconds, by [`Activity`].
    spent_s: [f64; Activity::Rest as usize + 1],
    /// Where speed is measured from: the end of the warm-up, or a later start.
    speed_from: Option<(EnvSteps, Instant)>,
}

impl Clock {
    /// A clock that does not run yet, `seconds_before` into the run.
    pub(super) fn new(seconds_before: f64) -> Self {
        Clock {
            started: None,
            seconds_before,
            mark: Instant::now(),
            spent_s: Default::default(),
            speed_from: None,
        }
    }

    /// Starts the clock, or measures speed and shares anew if it runs already.
    pub(super) fn start(&mut self) {
        *self = Clock {
            started: Some(Instant::now()),
            ..Clock::new(self.seconds())
        };
    }

    /// Wall time in training, seconds, resumed parts added up.
    pub(super) fn seconds(&self) -> f64 {
        let running_s = self.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        self.seconds_before + running_s
    }

    /// Attributes the time since the last call to an activity.
    pub(super) fn spent_on(&mut self, activity: Activity) {
        let now = Instant::now();
        self.spent_s[activity as usize] += (now - self.mark).as_secs_f64();
        self.mark = now;
    }

    /// Notes how far the run is. Random steps say nothing about the speed of training, so speed is measured from the
    /// first call after the warm-up.
    pub(super) fn reached(&mut self, at: EnvSteps, warmup: EnvSteps) {
        if self.speed_from.is_none() && at >= warmup {
            self.speed_from = Some((at, Instant::now()));
        }
    }

    /// Env steps per second; `None` before the first step that counts.
    pub(super) fn env_steps_per_second(&self, at: EnvSteps) -> Option<f64> {
        let (from, since) = self.speed_from?;
        let env_steps = at.0 - from.0;
        (env_steps > 0).then(|| env_steps as f64 / since.elapsed().as_secs_f64().max(1e-9))
    }

    /// Shares of the time since the last call of this method, by metric.
    pub(super) fn take_shares(&mut self) -> impl Iterator<Item = (&'static str, f64)> {
        self.spent_on(Activity::Rest);
        let spent_s = std::mem::take(&mut self.spent_s);
        let all_s = spent_s.iter().sum::<f64>().max(1e-9);
        METRICS
            .map(|(activity, name)| (name, spent_s[activity as usize] / all_s))
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn shares_are_of_the_time_since_the_last_row_and_leave_the_rest_out() {
        let mut clock = Clock::new(0.0);
        clock.start();
        let mut shares = |learning, rest| {
            for (activity, milliseconds) in [(Activity::Learning, learning), (Activity::Rest, rest)] {
                clock.mark = Instant::now() - Duration::from_millis(milliseconds);
                clock.spent_on(activity);
            }
            clock.take_shares().collect::<std::collections::BTreeMap<_, _>>()
        };
        let first = shares(3_000_000, 1_000_000);
        assert!((first["time/learning_share"] - 0.75).abs() < 1e-3, "{first:?}");
        assert_eq!((first.len(), first["time/eval_share"]), (5, 0.0));
        let second = shares(1_000_000, 3_000_000);
        assert!((second["time/learning_share"] - 0.25).abs() < 1e-3, "{second:?}");
    }

    #[test]
    fn random_steps_do_not_count_as_speed() {
        let mut clock = Clock::new(0.0);
        clock.start();
        let warmup = EnvSteps(100);
        clock.reached(EnvSteps(50), warmup);
        assert_eq!(clock.env_steps_per_second(EnvSteps(50)), None);
        clock.reached(EnvSteps(100), warmup);
        assert_eq!(clock.env_steps_per_second(EnvSteps(100)), None);
        clock.speed_from = Some((EnvSteps(100), Instant::now() - Duration::from_secs(10)));
        clock.reached(EnvSteps(120), warmup);
        let speed = clock.env_steps_per_second(EnvSteps(120)).expect("there were steps");
        assert!((1.5..=2.0).contains(&speed), "{speed}");
    }

    #[test]
    fn only_time_in_training_counts_and_starting_again_adds_up() {
        let mut clock = Clock::new(5.0);
        assert_eq!(clock.seconds(), 5.0, "it does not run before training starts");
        clock.start();
        clock.started = Some(Instant::now() - Duration::from_secs(10));
        clock.start();
        assert!((15.0..16.0).contains(&clock.seconds()), "{}", clock.seconds());
    }
}
