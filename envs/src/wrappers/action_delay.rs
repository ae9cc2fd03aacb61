//! [`ActionDelay`]: actions take effect a number of steps later.

use std::num::NonZero;

use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Delays every action by a fixed number of steps. Until the first one takes effect, the task gets the number nearest
/// to zero within each bound, or index 0 of a discrete space.
pub struct ActionDelay<E> {
    env: E,
    steps: NonZero<usize>,
    memory: Memory,
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// `[steps, A]`: ring buffer of the actions that have not taken effect.
    pending: Vec<f32>,
    /// Row of the action that takes effect next.
    due: usize,
}

impl<E: Env> ActionDelay<E> {
    /// Delays the actions of `env` by `steps` control steps.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for more than 10,000 steps, and for a space with a flaw.
    pub fn new(env: E, steps: NonZero<usize>) -> Result<Self, EnvError> {
        const MAX_STEPS: usize = 10_000;
        check_spaces(&env)?;
        if steps.get() > MAX_STEPS {
            return Err(EnvError::Unsupported {
                env: env.describe(),
                problem: format!("steps is {steps}, expected at most {MAX_STEPS}"),
            });
        }
        let mut memory = Memory {
            pending: vec![0.0; steps.get() * env.action_space().len()],
            due: 0,
        };
        memory.clear(env.action_space());
        Ok(ActionDelay { env, steps, memory })
    }

    fn kind(&self) -> String {
        format!("ActionDelay({})", self.steps)
    }
}

impl Memory {
    fn clear(&mut self, space: &Space) {
        self.due = 0;
        self.pending.fill(0.0);
        if let Space::Box { low, high, .. } = space {
            for action in self.pending.chunks_exact_mut(low.len()) {
                for (i, x) in action.iter_mut().enumerate() {
                    *x = x.clamp(low[i], high[i]);
                }
            }
        }
    }
}

impl<E: Env> Env for ActionDelay<E> {
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
        self.memory.clear(self.env.action_space());
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        // Checked now, because an error at the step where it takes effect would not name its cause.
        let space = self.env.action_space();
        space.check_action(action, || self.env.describe())?;
        let slot = self.memory.due * space.len()..(self.memory.due + 1) * space.len();
        let outcome = self.env.step(&self.memory.pending[slot.clone()], obs)?;
        self.memory.pending[slot].copy_from_slice(action);
        self.memory.due = (self.memory.due + 1) % self.steps.get();
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.kind(), &(&self.memory, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (memory, inner): (Memory, Vec<u8>) = snapshot::decode(&self.kind(), bytes)?;
        if memory.pending.len() != self.memory.pending.len() || memory.due >= self.steps.get() {
            return Err(EnvError::Snapshot {
                env: self.kind(),
                problem: "its pending actions do not fit this action space".to_string(),
            });
        }
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
