//! [`Checked`]: faults of a task as errors with the step at which they happened.

use crate::panics::{caught, caught_step};
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Checks the actions, observations and rewards of an environment.
///
/// * Actions have the right length. A discrete action is a valid index; the numbers of a box are finite. They may lie
///   outside the box, because tasks clip, as Gymnasium's do.
/// * Every number of an observation is written and finite. Rewards are finite.
/// * A panic inside the environment becomes [`EnvError::Panicked`]. Its state may then be inconsistent, so everything
///   but a reset or a restored snapshot is refused. (The panic hook still prints the panic.)
pub struct Checked<E> {
    env: E,
    name: String,
    memory: Memory,
    /// A panic left the environment in an unknown state.
    poisoned: bool,
}

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// From 1; 0 before the first reset.
    episode: u64,
    /// Steps since the reset.
    step: u64,
}

/// The NaN with which observations are filled before a step. Arithmetic yields NaNs without this payload.
const NOT_WRITTEN: u32 = 0x7fc0_5ac0;

impl<E: Env> Checked<E> {
    /// Checks `env`.
    pub fn new(env: E) -> Self {
        Checked {
            name: env.describe(),
            env,
            memory: Memory { episode: 0, step: 0 },
            poisoned: false,
        }
    }

    #[cold]
    fn panicked(&mut self, message: String) -> EnvError {
        self.poisoned = true;
        let Memory { episode, step } = self.memory;
        EnvError::Panicked {
            env: self.name.clone(),
            step,
            episode,
            message,
        }
    }

    fn check_finite(&self, reward: f64, obs: &[f32]) -> Result<(), EnvError> {
        if obs.iter().all(|x| x.is_finite()) && reward.is_finite() {
            Ok(())
        } else {
            Err(self.not_finite(reward, obs))
        }
    }

    #[cold]
    fn not_finite(&self, reward: f64, obs: &[f32]) -> EnvError {
        let (what, value) = match obs.iter().position(|x| !x.is_finite()) {
            Some(i) if obs[i].to_bits() == NOT_WRITTEN => (format!("observation[{i}]"), "not written".to_string()),
            Some(i) => (format!("observation[{i}]"), obs[i].to_string()),
            None => ("reward".to_string(), reward.to_string()),
        };
        let Memory { episode, step } = self.memory;
        EnvError::NotFinite {
            env: self.name.clone(),
            what,
            value,
            step,
            episode,
        }
    }

    fn check_not_poisoned(&self) -> Result<(), EnvError> {
        if self.poisoned { Err(self.poisoning()) } else { Ok(()) }
    }

    #[cold]
    fn poisoning(&self) -> EnvError {
        EnvError::ResetNeeded {
            env: self.name.clone(),
            when: "after a panic",
        }
    }
}

impl<E: Env> Env for Checked<E> {
    fn describe(&self) -> String {
        format!("Checked > {}", self.name)
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
        self.check_not_poisoned()?;
        caught(|| self.env.goal_outcomes(batch, outcomes)).map_err(|message| self.panicked(message))??;
        match outcomes.iter().find(|outcome| !outcome.reward.is_finite()) {
            None => Ok(()),
            Some(outcome) => Err(self.not_finite(outcome.reward, &[])),
        }
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env
            .observation_space()
            .check_len(&self.name, "observation", obs.len())?;
        self.memory = Memory {
            episode: self.memory.episode + 1,
            step: 0,
        };
        obs.fill(f32::from_bits(NOT_WRITTEN));
        caught(|| self.env.reset(seed, obs)).map_err(|message| self.panicked(message))??;
        self.poisoned = false;
        self.check_finite(0.0, obs)
    }

    #[inline(always)]
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.check_not_poisoned()?;
        self.env.action_space().check_action(action, || self.name.clone())?;
        self.env
            .observation_space()
            .check_len(&self.name, "observation", obs.len())?;
        obs.fill(f32::from_bits(NOT_WRITTEN));
        self.memory.step += 1;
        let outcome = match caught_step(|| self.env.step(action, obs)) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                self.memory.step -= 1;
                return Err(*error);
            }
            Err(message) => return Err(self.panicked(message)),
        };
        self.check_finite(outcome.reward, obs)?;
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        self.check_not_poisoned()?;
        snapshot::encode("Checked", &(self.memory, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (memory, inner): (Memory, Vec<u8>) = snapshot::decode("Checked", bytes)?;
        caught(|| self.env.restore(&inner)).map_err(|message| self.panicked(message))??;
        (self.memory, self.poisoned) = (memory, false);
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        caught(|| self.env.render(size)).unwrap_or_else(|message| {
            Err(EnvError::Failed {
                env: self.name.clone(),
                problem: format!("panicked while drawing: {message}"),
            })
        })
    }
}
