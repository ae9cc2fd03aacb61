//! [`ActionRepeat`]: one action for several steps.

use std::num::NonZero;

use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Repeats every action, sums the rewards and returns the last observation. The repetition stops at the end of an
/// episode.
///
/// The registry puts the time limit below this wrapper, so that it counts the task's own steps: with 4 repetitions,
/// 1000 of them are 250 steps.
pub struct ActionRepeat<E> {
    env: E,
    times: NonZero<u64>,
}

impl<E: Env> ActionRepeat<E> {
    /// Repeats every action `times` times.
    pub fn new(env: E, times: NonZero<u64>) -> Self {
        ActionRepeat { env, times }
    }

    fn kind(&self) -> String {
        format!("ActionRepeat({})", self.times)
    }
}

impl<E: Env> Env for ActionRepeat<E> {
    fn describe(&self) -> String {
        format!("{} > {}", self.kind(), self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    /// 1, because a stack below this wrapper advances by several frames per step.
    fn stacked_frames(&self) -> usize {
        if self.times.get() == 1 {
            self.env.stacked_frames()
        } else {
            1
        }
    }

    /// None if actions are repeated: a reward is then a sum over several achieved goals.
    fn goals(&self) -> Option<&GoalLayout> {
        self.env.goals().filter(|_| self.times.get() == 1)
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        self.env.goal_outcomes(batch, outcomes)
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let mut total = self.env.step(action, obs)?;
        for _ in 1..self.times.get() {
            if total.status().is_over() {
                break;
            }
            let outcome = self.env.step(action, obs)?;
            total = Outcome {
                reward: total.reward + outcome.reward,
                ..outcome
            };
        }
        Ok(total)
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
