//! [`RescaleAction`]: the actions of an agent in a task's own units.

use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Outcome, Space, Transition, Warning, snapshot};

/// Converts the actions of an agent to the task's units.
///
/// For a box of real numbers the agent's actions are in [-1, 1]. -1 is exactly the lower bound of each coordinate, +1
/// exactly the upper bound. Between them the map is linear, computed in `f64` and rounded once. Actions outside [-1, 1]
/// are clamped; NaN stays NaN.
///
/// For a box of whole numbers the agent's actions are indices: 0 is the lower bound of a coordinate, 1 the number after
/// it. The space is then [`Space::Discrete`] for one coordinate and [`Space::MultiDiscrete`] for several.
///
/// Discrete actions are not changed.
pub struct RescaleAction<E> {
    env: E,
    action_space: Space,
    /// `None` for a discrete space.
    scaling: Option<Scaling>,
}

/// The most values that a coordinate of a box of whole numbers may have.
const MAX_VALUES: f64 = 256.0;

/// `[A]` each; `scaled` is scratch.
struct Scaling {
    map: Map,
    scaled: Vec<f32>,
}

/// The map from actions of an agent to those of a box.
enum Map {
    /// From [-1, 1] to an interval.
    Reals(Vec<Interval>),
    /// From an index to a whole number: the lower bounds.
    Integers(Vec<f32>),
}

/// The bounds of one coordinate.
struct Interval {
    low: f32,
    high: f32,
    middle: f64,
    half: f64,
}

impl<E: Env> RescaleAction<E> {
    /// Takes the actions of an agent for `env`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a box with an infinite bound, for a box of whole numbers with more than 256 values
    /// in a coordinate, and for a space with a flaw.
    pub fn new(env: E) -> Result<Self, EnvError> {
        check_spaces(&env)?;
        let space = env.action_space();
        let unsupported = |problem: String| EnvError::Unsupported {
            env: env.describe(),
            problem,
        };
        if !space.is_bounded() {
            return Err(unsupported(format!(
                "actions in {space} cannot be normalised: a coordinate has no finite bounds"
            )));
        }
        let (action_space, map) = match space {
            Space::Box { low, high, dtype, .. } if dtype.is_whole() => {
                let n = counts(low, high).map_err(|(i, count)| {
                    unsupported(format!(
                        "actions in {space} cannot be served as discrete ones: coordinate {i} has {count} values, at most \
                         {MAX_VALUES} are supported; a task can take real numbers and round them"
                    ))
                })?;
                let discrete = match n[..] {
                    [n] => Space::Discrete { n },
                    _ => Space::MultiDiscrete { n },
                };
                (discrete, Some(Map::Integers(low.clone())))
            }
            Space::Box { shape, low, high, .. } => {
                let intervals = low.iter().zip(high).map(|(low, high)| Interval::new(*low, *high));
                let unit = Space::boxed(low.len(), -1.0, 1.0).reshaped(shape.clone());
                (unit, Some(Map::Reals(intervals.collect())))
            }
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => (space.clone(), None),
        };
        let scaling = map.map(|map| Scaling {
            map,
            scaled: vec![0.0; space.len()],
        });
        Ok(RescaleAction {
            env,
            action_space,
            scaling,
        })
    }
}

/// The number of values of each coordinate of a box of whole numbers, or the first coordinate with too many and their
/// number.
fn counts(low: &[f32], high: &[f32]) -> Result<Vec<usize>, (usize, f64)> {
    let count = |(i, (low, high)): (usize, (&f32, &f32))| {
        let count = f64::from(*high) - f64::from(*low) + 1.0;
        if count <= MAX_VALUES {
            Ok(count as usize)
        } else {
            Err((i, count))
        }
    };
    low.iter().zip(high).enumerate().map(count).collect()
}

impl Scaling {
    fn apply(&mut self, action: &[f32]) -> &[f32] {
        match &self.map {
            Map::Reals(intervals) => {
                for (scaled, (interval, x)) in self.scaled.iter_mut().zip(intervals.iter().zip(action)) {
                    *scaled = interval.rescale(*x);
                }
            }
            Map::Integers(low) => {
                for (scaled, (low, index)) in self.scaled.iter_mut().zip(low.iter().zip(action)) {
                    *scaled = low + index;
                }
            }
        }
        &self.scaled
    }
}

/// Converts an action of an agent to the units of the task's action space `space`, as [`RescaleAction`] does: a
/// normalised action of a box of real numbers, indices of a box of whole numbers. Discrete actions are copied.
///
/// # Panics
/// When a slice does not have the length of the space.
pub fn to_task_units(space: &Space, action: &[f32], out: &mut [f32]) {
    match space {
        Space::Box { low, high, dtype, .. } => {
            for (i, out) in out.iter_mut().enumerate() {
                *out = if dtype.is_whole() {
                    low[i] + action[i]
                } else {
                    Interval::new(low[i], high[i]).rescale(action[i])
                };
            }
        }
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => out.copy_from_slice(action),
    }
}

impl Interval {
    fn new(low: f32, high: f32) -> Self {
        let (wide_low, wide_high) = (f64::from(low), f64::from(high));
        Interval {
            low,
            high,
            middle: (wide_low + wide_high) / 2.0,
            half: (wide_high - wide_low) / 2.0,
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

    fn goals(&self) -> Option<&GoalLayout> {
        self.env.goals()
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        self.env.goal_outcomes(batch, outcomes)
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.env.reset(seed, obs)
    }

    #[inline(always)]
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        match &mut self.scaling {
            Some(scaling) if scaling.scaled.len() == action.len() => {
                if let Map::Integers(_) = scaling.map {
                    self.action_space.check_action(action, || self.env.describe())?;
                }
                self.env.step(scaling.apply(action), obs)
            }
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
        Interval::new(low, high).rescale(normalised)
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
}
