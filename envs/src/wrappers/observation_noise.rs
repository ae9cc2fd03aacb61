//! [`ObservationNoise`]: noise on observations.

use super::stream::Stream;
use crate::render::{Frame, FrameSize};
use crate::{Dtype, Env, EnvError, NumpyRng, Outcome, Space, Warning, snapshot};

/// Adds independent normal noise to every number of every observation, in the observation's own units.
///
/// The observation space becomes unbounded. The noise has a generator of its own, which every reset with a seed
/// restarts and which is part of the snapshot; the task's random numbers are the same with and without noise.
pub struct ObservationNoise<E> {
    env: E,
    std: f64,
    space: Space,
    stream: Stream,
}

impl<E: Env> ObservationNoise<E> {
    /// Adds noise with standard deviation `std`. `stream` numbers the random stream; the wrappers of one environment
    /// must have different numbers.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a `std` that is negative or not finite, and for observations that are not real
    /// numbers.
    pub fn new(env: E, std: f64, stream: u64) -> Result<Self, EnvError> {
        let unsupported = |problem: String| EnvError::Unsupported {
            env: env.describe(),
            problem,
        };
        if !(std.is_finite() && std >= 0.0) {
            return Err(unsupported(format!("std is {std}, expected a number of at least 0")));
        }
        let observation_space = env.observation_space();
        let Space::Box {
            shape,
            dtype: Dtype::F32,
            ..
        } = observation_space
        else {
            return Err(unsupported(format!(
                "observations in {observation_space} take no noise"
            )));
        };
        let space = Space::unbounded(observation_space.len()).reshaped(shape.clone());
        Ok(ObservationNoise {
            env,
            std,
            space,
            stream: Stream::new(stream),
        })
    }

    fn kind(&self) -> String {
        format!("ObservationNoise({})", self.std)
    }

    fn blur(&mut self, obs: &mut [f32]) {
        if let Some(rng) = &mut self.stream.rng {
            for x in obs {
                *x = (f64::from(*x) + self.std * rng.standard_normal()) as f32;
            }
        }
    }
}

impl<E: Env> Env for ObservationNoise<E> {
    fn describe(&self) -> String {
        format!("{} > {}", self.kind(), self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)?;
        self.stream.reset(seed);
        self.blur(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let outcome = self.env.step(action, obs)?;
        self.blur(obs);
        Ok(outcome)
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
