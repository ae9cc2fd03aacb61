//! [`FrameStack`]: the last few observations as one observation.

use std::num::NonZero;

use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, Outcome, Space, Warning, snapshot};

/// Concatenates the last `k` observations, oldest first. A reset repeats the first one `k` times.
///
/// The axis is that of the features: a vector `[O]` becomes `[k·O]`, a set of tokens `[N, W]` becomes `[N, k·W]`, an
/// image `[C, H, W]` becomes `[k·C, H, W]`.
pub struct FrameStack<E> {
    env: E,
    frames: NonZero<usize>,
    space: Space,
    /// Number of rows, each of which is concatenated by itself: the tokens of a set, otherwise 1.
    rows: usize,
    /// `[O]`: the latest observation.
    latest: Vec<f32>,
    /// `[k, O]`: oldest first.
    history: Vec<f32>,
}

impl<E: Env> FrameStack<E> {
    /// Concatenates the last `frames` observations of `env`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for discrete observations, for more than 256 frames, and for a space with a flaw.
    pub fn new(env: E, frames: NonZero<usize>) -> Result<Self, EnvError> {
        const MAX_FRAMES: usize = 256;
        check_spaces(&env)?;
        let unsupported = |problem| EnvError::Unsupported {
            env: env.describe(),
            problem,
        };
        if frames.get() > MAX_FRAMES {
            return Err(unsupported(format!(
                "frames is {frames}, expected at most {MAX_FRAMES}"
            )));
        }
        let one = env.observation_space();
        let Space::Box {
            shape,
            low,
            high,
            dtype,
        } = one
        else {
            return Err(unsupported(format!("observations in {one} cannot be stacked")));
        };
        let (k, len) = (frames.get(), one.len());
        let (stacked_shape, rows) = match shape[..] {
            [tokens, width] => (vec![tokens, k * width], tokens),
            [first, ref others @ ..] => ([&[k * first], others].concat(), 1),
            [] => (vec![k], 1),
        };
        let stack = |bounds: &[f32]| -> Vec<f32> { bounds.chunks(len / rows).flat_map(|row| row.repeat(k)).collect() };
        let space = Space::Box {
            shape: stacked_shape,
            low: stack(low),
            high: stack(high),
            dtype: *dtype,
        };
        Ok(FrameStack {
            latest: vec![0.0; len],
            history: vec![0.0; k * len],
            env,
            frames,
            space,
            rows,
        })
    }

    fn kind(&self) -> String {
        format!("FrameStack({})", self.frames)
    }

    fn write(&self, obs: &mut [f32]) {
        let (len, width) = (self.latest.len(), self.latest.len() / self.rows);
        let parts = obs.chunks_exact_mut(width).enumerate();
        for (i, part) in parts {
            let (row, frame) = (i / self.frames.get(), i % self.frames.get());
            let start = frame * len + row * width;
            part.copy_from_slice(&self.history[start..start + width]);
        }
    }
}

impl<E: Env> Env for FrameStack<E> {
    fn describe(&self) -> String {
        format!("{} > {}", self.kind(), self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    /// 1 for a set of tokens, whose frames are interleaved row by row.
    fn stacked_frames(&self) -> usize {
        if self.rows == 1 { self.frames.get() } else { 1 }
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.space.check_len("FrameStack", "observation", obs.len())?;
        self.env.reset(seed, &mut self.latest)?;
        for frame in self.history.chunks_exact_mut(self.latest.len()) {
            frame.copy_from_slice(&self.latest);
        }
        self.write(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.space.check_len("FrameStack", "observation", obs.len())?;
        let outcome = self.env.step(action, &mut self.latest)?;
        let len = self.latest.len();
        self.history.copy_within(len.., 0);
        let newest = self.history.len() - len;
        self.history[newest..].copy_from_slice(&self.latest);
        self.write(obs);
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.kind(), &(&self.history, self.env.snapshot()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (history, inner): (Vec<f32>, Vec<u8>) = snapshot::decode(&self.kind(), bytes)?;
        if history.len() != self.history.len() {
            return Err(EnvError::Snapshot {
                env: self.kind(),
                problem: format!("it has {} numbers, expected {}", history.len(), self.history.len()),
            });
        }
        self.env.restore(&inner)?;
        self.history = history;
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}
