//! [`RescaleAction`]: actions in [-1, 1] for any bounded task.

use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Dtype, Env, EnvError, Outcome, Space, Warning, snapshot};

/// Converts normalised actions to the task's units. -1 is exactly the lower bound of each coordinate, +1 exactly the
/// upper bound. Between them the map is linear, computed in `f64` and rounded once. Actions outside [-1, 1] are
/// clamped; NaN stays NaN. Where the task takes bytes, the result is the nearest whole number.
///
/// Discrete actions are not changed.
pub struct RescaleAction<E> {
    env: E,
    action_space: Space,
    /// `None` for a discrete space.
    scaling: Option<Scaling>,
}

/// `[A]` each; `scaled` is scratch.
struct Scaling {
    intervals: Vec<Interval>,
    scaled: Vec<f32>,
}

/// The bounds of one coordinate.
struct Interval {
    low: f32,
    high: f32,
    middle: f64,
    half: f64,
    /// Whether only whole numbers are meant.
    is_whole: bool,
}

impl<E: Env> RescaleAction<E> {
    /// Normalises the actions of `env`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a box with an infinite bound, and for a space with a flaw.
    pub fn new(env: E) -> Result<Self, EnvError> {
        check_spaces(&env)?;
        let space = env.action_space();
        if !space.is_bounded() {
            let problem = format!("actions in {space} cannot be normalised: a coordinate has no finite bounds");
            return Err(EnvError::Unsupported {
                env: env.describe(),
                problem,
            });
        }
        let (action_space, scaling) = match space {
            Space::Box {
                shape,
                low,
                high,
                dtype,
            } => {
                let unit = |bound: f32| Space::Box {
                    shape: shape.clone(),
                    low: vec![-bound; low.len()],
                    high: vec![bound; low.len()],
                    // Bytes too are real numbers here: there is no byte between -1 and 1.
                    dtype: Dtype::F32,
                };
                let scaling = Scaling {
                    intervals: low
                        .iter()
                        .zip(high)
                        .map(|(low, high)| Interval::new(*low, *high, *dtype))
                        .collect(),
                    scaled: vec![0.0; low.len()],
                };
                (unit(1.0), Some(scaling))
            }
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => (space.clone(), None),
        };
        Ok(RescaleAction {
            env,
            action_space,
            scaling,
        })
    }
}

impl Scaling {
    fn apply(&mut self, action: &[f32]) -> &[f32] {
        for (scaled, (interval, x)) in self.scaled.iter_mut().zip(self.intervals.iter().zip(action)) {
            *scaled = interval.rescale(*x);
        }
        &self.scaled
    }
}

/// Converts a normalised action to the units of `space`, as [`RescaleAction`] does. Discrete actions are copied.
///
/// # Panics
/// When a slice does not have the length of the space.
pub fn to_task_units(space: &Space, normalised: &[f32], out: &mut [f32]) {
    match space {
        Space::Box { low, high, dtype, .. } => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = Interval::new(low[i], high[i], *dtype).rescale(normalised[i]);
            }
        }
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => out.copy_from_slice(normalised),
    }
}

impl Interval {
    fn new(low: f32, high: f32, dtype: Dtype) -> Self {
        let (wide_low, wide_high) = (f64::from(low), f64::from(high));
        Interval {
            low,
            high,
            middle: (wide_low + wide_high) / 2.0,
            half: (wide_high - wide_low) / 2.0,
            is_whole: dtype == Dtype::U8,
        }
    }

    /// From [-1, 1] to [low, high].
    fn rescale(&self, normalised: f32) -> f32 {
        // Exactly the bounds: `middle ± half` is not exact for bounds of very different magnitude.
        if normalised >= 1.0 {
            return self.high;
        }
        if normalised <= -1.0 {
            return self.low;
        }
        let scaled = (self.middle + f64::from(normalised) * self.half) as f32;
        let scaled = if self.is_whole { scaled.round() } else { scaled };
        scaled.clamp(self.low, self.high)
    }
}

impl<E: Env> Env for RescaleAction<E> {
    fn describe(&self) -> String {
        format!("RescaleAction > {}", self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn stacked_frames(&self) -> usize {
        self.env.stacked_frames()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)
    }

    #[inline(always)]
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        match &mut self.scaling {
            Some(scaling) if scaling.scaled.len() == action.len() => self.env.step(scaling.apply(action), obs),
            // A discrete action, or one of the wrong length, for which the environment returns the error.
            _ => self.env.step(action, obs),
        }
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode("RescaleAction", &self.env.snapshot()?)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let inner: Vec<u8> = snapshot::decode("RescaleAction", bytes)?;
        self.env.restore(&inner)
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescale(normalised: f32, low: f32, high: f32) -> f32 {
        Interval::new(low, high, Dtype::F32).rescale(normalised)
    }

    #[test]
    fn the_ends_are_the_bounds_and_the_middle_is_the_middle() {
        for (low, high) in [(-2.0, 2.0), (0.1, 0.3), (-1e30, 1e-10), (-0.4, 1.7), (3.0, 3.0)] {
            assert_eq!(rescale(-1.0, low, high), low);
            assert_eq!(rescale(1.0, low, high), high);
            assert_eq!(rescale(7.0, low, high), high);
            assert_eq!(rescale(-7.0, low, high), low);
        }
        assert_eq!(rescale(0.5, -2.0, 2.0), 1.0);
        assert_eq!(rescale(0.0, 0.0, 3.0), 1.5);
        assert!(rescale(f32::NAN, -2.0, 2.0).is_nan());
    }

    #[test]
    fn unit_bounds_change_no_bit() {
        for x in [1e-20f32, -0.1, 0.333_333_34, 0.999_999_9] {
            assert_eq!(rescale(x, -1.0, 1.0), x);
        }
    }

    #[test]
    fn bytes_are_whole_numbers_of_the_task_and_real_numbers_of_the_agent() {
        let byte = Interval::new(0.0, 255.0, Dtype::U8);
        assert_eq!(
            [-1.0, -0.999, 0.0, 0.5, 1.0].map(|x| byte.rescale(x)),
            [0.0, 0.0, 128.0, 191.0, 255.0]
        );
    }
}
