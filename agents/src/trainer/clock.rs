//! Wall time of a run, and what it goes into: [`Clock`].

use std::time::Instant;

use crate::{metrics, schedule::EnvSteps};

/// What the loop spends time on. What is left goes into writing down transitions and rows.
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
    /// Everything else.
    Rest,
}

const METRICS: [(Activity, &str); 5] = [
    (Activity::Acting, metrics::ACTING_SHARE),
    (Activity::Stepping, metrics::STEPPING_SHARE),
    (Activity::Learning, metrics::LEARNING_SHARE),
    (Activity::Evaluating, metrics::EVALUATING_SHARE),
    (Activity::Saving, metrics::SAVING_SHARE),
];

/// See the module. Nothing that is learned depends on it. It stands while the trainer waits: before it is first run, and
/// between the slices of [`super::Trainer::run_for`].
pub(super) struct Clock {
    started: Instant,
    stands_at: Option<Instant>,
    seconds_before: f64,
    /// Until when time has been accounted for.
    mark: Instant,
    /// Since the last row, seconds, by [`Activity`].
    spent_s: [f64; Activity::Rest as usize + 1],
    /// From when on speed counts: the end of the warm-up, or later.
    speed_from: Option<(EnvSteps, Instant)>,
}

impl Clock {
    /// A clock that stands, `seconds_before` into the run.
    pub(super) fn standing(seconds_before: f64) -> Self {
        let now = Instant::now();
        Clock {
            started: now,
            stands_at: Some(now),
            seconds_before,
            mark: now,
            spent_s: Default::default(),
            speed_from: None,
        }
    }

    /// Goes on, and counts speed from here.
    pub(super) fn restart(&mut self) {
        *self = Clock {
            stands_at: None,
            ..Clock::standing(self.seconds())
        };
    }

    /// Goes on as if it had never stood.
    pub(super) fn go_on(&mut self) {
        if let Some(stood_at) = self.stands_at.take() {
            let stood = stood_at.elapsed();
            self.started += stood;
            self.mark += stood;
            if let Some((_, since)) = &mut self.speed_from {
                *since += stood;
            }
        }
    }

    /// Stands still.
    pub(super) fn stand(&mut self) {
        self.stands_at = Some(Instant::now());
    }

    fn now(&self) -> Instant {
        self.stands_at.unwrap_or_else(Instant::now)
    }

    /// Wall time in training, seconds, resumed parts added up.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.now().duration_since(self.started).as_secs_f64()
    }

    /// The time since the last call went into this.
    pub(super) fn spent_on(&mut self, activity: Activity) {
        let now = Instant::now();
        self.spent_s[activity as usize] += (now - self.mark).as_secs_f64();
        self.mark = now;
    }

    /// Tells how far the run is. Random steps say nothing about the speed of training, so it counts from the first call
    /// in which the warm-up is over.
    pub(super) fn reached(&mut self, at: EnvSteps, warmup: EnvSteps) {
        if self.speed_from.is_none() && at >= warmup {
            self.speed_from = Some((at, Instant::now()));
        }
    }

    /// Env steps per second; none before there was a step to count.
    pub(super) fn env_steps_per_second(&self, at: EnvSteps) -> Option<f64> {
        let (from, since) = self.speed_from?;
        let env_steps = at.0 - from.0;
        (env_steps > 0).then(|| env_steps as f64 / self.now().duration_since(since).as_secs_f64().max(1e-9))
    }

    /// What the time since the last call of this went into, as parts of it, by metric.
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
        let mut clock = Clock::standing(0.0);
        clock.go_on();
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
        let mut clock = Clock::standing(0.0);
        clock.go_on();
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
    fn a_clock_that_stood_goes_on_as_if_it_had_not() {
        let mut clock = Clock::standing(5.0);
        clock.go_on();
        clock.reached(EnvSteps(0), EnvSteps(0));
        let long_ago = Instant::now() - Duration::from_secs(100);
        (clock.started, clock.mark, clock.stands_at) = (long_ago, long_ago, Some(long_ago + Duration::from_secs(10)));
        clock.speed_from = Some((EnvSteps(0), long_ago));
        assert_eq!(clock.seconds(), 15.0);
        assert_eq!(clock.env_steps_per_second(EnvSteps(20)), Some(2.0));
        clock.go_on();
        assert!((15.0..16.0).contains(&clock.seconds()), "{}", clock.seconds());
        let speed = clock.env_steps_per_second(EnvSteps(20)).expect("there were steps");
        assert!((1.8..=2.0).contains(&speed), "{speed}");
        clock.spent_on(Activity::Learning);
        assert!((10.0..11.0).contains(&clock.spent_s[Activity::Learning as usize]));
    }
}
