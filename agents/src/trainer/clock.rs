//! Wall time in training: [`Clock`].

use std::time::Instant;

use crate::schedule::EnvSteps;

/// Stands while the trainer waits: before it is first run, and between the slices of [`super::Trainer::run_for`].
pub(super) struct Clock {
    started: Instant,
    stands_at: Option<Instant>,
    env_steps_at_start: EnvSteps,
    seconds_before: f64,
}

impl Clock {
    /// Of a run that has taken so many steps in so much time before.
    pub(super) fn standing(env_steps: EnvSteps, seconds_before: f64) -> Self {
        let now = Instant::now();
        Clock {
            started: now,
            stands_at: Some(now),
            env_steps_at_start: env_steps,
            seconds_before,
        }
    }

    /// Goes on, and counts speed from here.
    pub(super) fn restart(&mut self, env_steps: EnvSteps) {
        let seconds_before = self.seconds();
        *self = Clock {
            stands_at: None,
            ..Clock::standing(env_steps, seconds_before)
        };
    }

    /// Goes on as if it had never stood.
    pub(super) fn go_on(&mut self) {
        if let Some(stood_at) = self.stands_at.take() {
            self.started += stood_at.elapsed();
        }
    }

    /// Stands still.
    pub(super) fn stand(&mut self) {
        self.stands_at = Some(Instant::now());
    }

    fn seconds_since_start(&self) -> f64 {
        let now = self.stands_at.unwrap_or_else(Instant::now);
        now.duration_since(self.started).as_secs_f64()
    }

    /// In training, resumed parts added up.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.seconds_since_start()
    }

    /// Since the clock was started.
    pub(super) fn env_steps_per_second(&self, env_steps: EnvSteps) -> f64 {
        (env_steps.0 - self.env_steps_at_start.0) as f64 / self.seconds_since_start().max(1e-9)
    }
}
