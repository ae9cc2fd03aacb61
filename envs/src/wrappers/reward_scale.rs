//! [`RewardScale`]: rewards times a constant factor.

use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Multiplies every reward by a factor. Returns that are reported above this wrapper are scaled as well.
pub struct RewardScale<E> {
    env: E,
    factor: f64,
}

impl<E: Env> RewardScale<E> {
    /// Multiplies the rewards of `env` by `factor`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a factor that is 0 or not finite.
    pub fn new(env: E, factor: f64) -> Result<Self, EnvError> {
        if !factor.is_finite() || factor == 0.0 {
            return Err(EnvError::Unsupported {
                env: env.describe(),
                problem: format!("factor is {factor}, expected a finite number other than 0"),
            });
        }
        Ok(RewardScale { env, factor })
    }

    fn kind(&self) -> String {
        format!("RewardScale({})", self.factor)
    }
}

impl<E: Env> Env for RewardScale<E> {
    fn describe(&self) -> String {
        format!("{} > {}", self.kind(), self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn stacked_frames(&self) -> usize {
        self.env.stacked_frames()
    }

    fn goals(&self) -> Option<&GoalLayout> {
        self.env.goals()
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        self.env.goal_outcomes(batch, outcomes)?;
        for outcome in outcomes {
            outcome.reward *= self.factor;
        }
        Ok(())
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let outcome = self.env.step(action, obs)?;
        Ok(Outcome {
            reward: outcome.reward * self.factor,
            ..outcome
        })
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.kind(), &self.env.snapshot()?)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let inner: Vec<u8> = snapshot::decode(&self.kind(), bytes)?;
        self.env.restore(&inner)
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}
