//! [`Pixels`]: pictures as observations.

use crate::render::{Frame, FrameSize};
use crate::{Dtype, Env, EnvError, Outcome, Space, Warning, snapshot};

/// Replaces observations by pictures of the task: bytes, `[3, height, width]`, or `[1, height, width]` in grey.
///
/// A picture shows no velocities, so put a [`crate::FrameStack`] above this wrapper. An [`crate::ActionRepeat`] below
/// it makes successive pictures differ more, and only the last step of a repetition is drawn. Drawing allocates memory.
pub struct Pixels<E> {
    env: E,
    size: FrameSize,
    grey: bool,
    space: Space,
    /// `[O]`: the observation of the wrapped environment, which is not used.
    numbers: Vec<f32>,
}

impl<E: Env> Pixels<E> {
    /// Replaces the observations of `env` by pictures of this size.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for an environment without a drawing, and for a size that [`FrameSize::check`]
    /// refuses.
    pub fn new(env: E, size: FrameSize, grey: bool) -> Result<Self, EnvError> {
        env.render(size).map_err(|error| match error {
            EnvError::Unsupported { env, problem } => EnvError::Unsupported {
                env,
                problem: format!("{problem}; without the wrapper `pixels` the agent observes numbers"),
            },
            other => other,
        })?;
        let shape = vec![if grey { 1 } else { 3 }, size.height as usize, size.width as usize];
        let len = shape.iter().product();
        Ok(Pixels {
            numbers: vec![0.0; env.observation_space().len()],
            env,
            size,
            grey,
            space: Space::Box {
                shape,
                low: vec![0.0; len],
                high: vec![255.0; len],
                dtype: Dtype::U8,
            },
        })
    }

    fn kind(&self) -> String {
        let FrameSize { width, height } = self.size;
        format!("Pixels({width}x{height}{})", if self.grey { " grey" } else { "" })
    }

    fn draw(&self, obs: &mut [f32]) -> Result<(), EnvError> {
        let frame = self.env.render(self.size)?;
        let wrong = |problem: String| EnvError::Failed {
            env: self.env.describe(),
            problem,
        };
        frame.check().map_err(|error| wrong(error.to_string()))?;
        if frame.size != self.size {
            let [asked, drawn] = [self.size, frame.size].map(|size| format!("{} × {}", size.width, size.height));
            return Err(wrong(format!("it drew a picture of {drawn} pixels, expected {asked}")));
        }
        if self.grey {
            for (x, level) in obs.iter_mut().zip(frame.grey()) {
                *x = f32::from(level);
            }
            return Ok(());
        }
        let plane = obs.len() / 3;
        for (i, pixel) in frame.rgb.chunks_exact(3).enumerate() {
            for (channel, level) in pixel.iter().enumerate() {
                obs[channel * plane + i] = f32::from(*level);
            }
        }
        Ok(())
    }
}

impl<E: Env> Env for Pixels<E> {
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
        self.space.check_len("Pixels", "observation", obs.len())?;
        self.env.reset(seed, &mut self.numbers)?;
        self.draw(obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.space.check_len("Pixels", "observation", obs.len())?;
        let outcome = self.env.step(action, &mut self.numbers)?;
        self.draw(obs)?;
        Ok(outcome)
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
