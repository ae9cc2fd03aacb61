//! [`EpisodeStats`]: return and length of the running episode.

use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Status, Transition, Warning, snapshot};

/// Sums the rewards and counts the steps of an episode. Both can be read until the next reset.
pub struct EpisodeStats<E> {
    env: E,
    memory: Memory,
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Memory {
    episode_return: f64,
    length: u64,
    status: Status,
    success: Option<bool>,
}

/// The state before the first step of an episode.
const NOTHING_YET: Memory = Memory {
    episode_return: 0.0,
    length: 0,
    status: Status::Running,
    success: None,
};

impl<E: Env> EpisodeStats<E> {
    /// Starts at zero. `env` should be reset next.
    pub fn new(env: E) -> Self {
        EpisodeStats {
            env,
            memory: NOTHING_YET,
        }
    }

    /// Sum of rewards since the reset.
    pub fn episode_return(&self) -> f64 {
        self.memory.episode_return
    }

    /// Steps since the reset.
    pub fn length(&self) -> u64 {
        self.memory.length
    }

    /// Status of the last step.
    pub fn status(&self) -> Status {
        self.memory.status
    }

    /// Whether the task counted as solved after the last step; `None` for a task that does not say.
    pub fn success(&self) -> Option<bool> {
        self.memory.success
    }

    /// The wrapped environment.
    pub fn inner(&self) -> &E {
        &self.env
    }
}

impl<E: Env> Env for EpisodeStats<E> {
    fn describe(&self) -> String {
        format!("EpisodeStats > {}", self.env.describe())
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
        self.memory = NOTHING_YET;
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let outcome = self.env.step(action, obs)?;
        self.memory.episode_return += outcome.reward;
        self.memory.length += 1;
        self.memory.status = outcome.status();
        self.memory.success = outcome.success;
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode("EpisodeStats", &(self.memory, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (memory, inner): (Memory, Vec<u8>) = snapshot::decode("EpisodeStats", bytes)?;
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
