//! [`ActionNoise`]: noise on actions.

use super::stream::Stream;
use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Dtype, Env, EnvError, GoalBatch, GoalLayout, NumpyRng, Outcome, Space, Transition, Warning, snapshot};

/// Adds independent normal noise to every coordinate of every action and clamps the sum to the bounds.
///
/// The standard deviation is relative to half the range of each coordinate: 0.1 means 0.1 in normalised actions. The
/// noise has a generator of its own, which every reset with a seed restarts and which is part of the snapshot.
pub struct ActionNoise<E> {
    env: E,
    std: f64,
    stream: Stream,
    /// `[A]`: scratch.
    noisy: Vec<f32>,
}

impl<E: Env> ActionNoise<E> {
    /// Adds noise with a standard deviation of `std` half-ranges. `stream` numbers the random stream; the wrappers of
    /// one environment must have different numbers.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a `std` that is negative or not finite, for discrete actions and whole numbers, for
    /// actions without bounds, and for a space with a flaw.
    pub fn new(env: E, std: f64, stream: u64) -> Result<Self, EnvError> {
        check_spaces(&env)?;
        let space = env.action_space();
        let unsupported = |problem: String| EnvError::Unsupported {
            env: env.describe(),
            problem,
        };
        if !(std.is_finite() && std >= 0.0) {
            return Err(unsupported(format!("std is {std}, expected a number of at least 0")));
        }
        if !(matches!(space, Space::Box { dtype: Dtype::F32, .. }) && space.is_bounded()) {
            return Err(unsupported(format!(
                "actions in {space} take no noise: it is relative to their bounds"
            )));
        }
        Ok(ActionNoise {
            noisy: vec![0.0; space.len()],
            env,
            std,
            stream: Stream::new(stream),
        })
    }

    fn kind(&self) -> String {
        format!("ActionNoise({})", self.std)
    }
}

impl<E: Env> Env for ActionNoise<E> {
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
        self.stream.reset(seed);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        match (self.env.action_space(), &mut self.stream.rng) {
            (Space::Box { low, high, .. }, Some(rng)) if action.len() == self.noisy.len() => {
                for (i, noisy) in self.noisy.iter_mut().enumerate() {
                    let half_range = (f64::from(high[i]) - f64::from(low[i])) / 2.0;
                    let sum = f64::from(action[i]) + self.std * half_range * rng.standard_normal();
                    *noisy = (sum as f32).clamp(low[i], high[i]);
                }
                self.env.step(&self.noisy, obs)
            }
            // Before the first reset, or with an action of the wrong length, the environment returns the error.
            _ => self.env.step(action, obs),
        }
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.kind(), &(&self.stream.rng, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (rng, inner): (Option<NumpyRng>, Vec<u8>) = snapshot::decode(&self.kind(), bytes)?;
        self.env.restore(&inner)?;
        self.stream.rng = rng;
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}
