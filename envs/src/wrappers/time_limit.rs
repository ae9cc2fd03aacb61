//! [`TimeLimit`]: truncation of episodes after a number of steps.

use std::num::NonZero;

use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Sets `truncated` at the `limit`-th step of an episode. If the task ends at that step, both flags are set, as in
/// Gymnasium. Unlike Gymnasium's time limit, it refuses further steps until a reset.
pub struct TimeLimit<E> {
    env: E,
    limit: NonZero<u64>,
    memory: Memory,
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// Control steps since the reset.
    elapsed: u64,
}

impl<E: Env> TimeLimit<E> {
    /// Limits episodes of `env` to `limit` control steps.
    pub fn new(env: E, limit: NonZero<u64>) -> Self {
        TimeLimit {
            env,
            limit,
            memory: Memory { elapsed: 0 },
        }
    }

    #[cold]
    fn over(&self) -> EnvError {
        EnvError::ResetNeeded {
            env: self.env.describe(),
            when: "after the episode ended",
        }
    }

    fn kind(&self) -> String {
        format!("TimeLimit({})", self.limit)
    }
}

impl<E: Env> Env for TimeLimit<E> {
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
        self.env.goal_outcomes(batch, outcomes)
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)?;
        self.memory.elapsed = 0;
        Ok(())
    }

    #[inline(always)]
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        if self.memory.elapsed >= self.limit.get() {
            return Err(self.over());
        }
        let Outcome {
            reward,
            terminated,
            truncated,
            success,
        } = self.env.step(action, obs)?;
        self.memory.elapsed += 1;
        Ok(Outcome {
            reward,
            terminated,
            truncated: truncated || self.memory.elapsed >= self.limit.get(),
            success,
        })
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.kind(), &(self.memory, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (memory, inner): (Memory, Vec<u8>) = snapshot::decode(&self.kind(), bytes)?;
        self.env.restore(&inner)?;
        self.memory = memory;
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}
