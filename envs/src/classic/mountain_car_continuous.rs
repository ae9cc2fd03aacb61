//! `MountainCarContinuous-v0`: a car that is too weak for the slope and must gain speed on the opposite side first.

use serde::{Deserialize, Serialize};

use super::valley::{self, GRAVITY, MAX_POSITION_M, MAX_SPEED_M, MIN_POSITION_M};
use crate::manual::Row;
use crate::render::Scene;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `MountainCarContinuous-v0`: a car in a valley with the profile sin 3x.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCarContinuous {
    /// Minimum velocity at the goal, in m per step.
    pub goal_velocity: f64,
}

/// Position and velocity of the car.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountainCarState {
    /// Position in m.
    pub position_m: f64,
    /// Velocity in m per step.
    pub velocity_m: f64,
    /// Whether the state is in double precision. In Gymnasium it is float64 until the first step and float32 from then
    /// on; both numbers are then float32 values.
    pub double_precision: bool,
}

const GOAL_POSITION_M: f64 = 0.45;
const POWER: f64 = 0.0015;

/// A number, and whether it is a Python number. In an operation those take the precision of the other operand.
#[derive(Clone, Copy)]
struct Number {
    value: f64,
    python: bool,
}

impl Dynamics for MountainCarContinuous {
    type State = MountainCarState;

    fn observation_space(&self) -> Space {
        Space::vector(
            vec![MIN_POSITION_M as f32, -MAX_SPEED_M as f32],
            vec![MAX_POSITION_M as f32, MAX_SPEED_M as f32],
        )
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> MountainCarState {
        MountainCarState {
            position_m: rng.uniform(-0.6, -0.4),
            velocity_m: 0.0,
            double_precision: true,
        }
    }

    fn step(&self, state: &mut MountainCarState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        // Rounds to the precision of the state. A sum or product of two float32 numbers is the same whether it is
        // computed in float32 or rounded from the float64 result.
        let double = state.double_precision;
        let round = |x: f64| if double { x } else { f64::from(x as f32) };
        let array = |value: f64| Number {
            value: round(value),
            python: false,
        };
        let python = |value: f64| Number { value, python: true };
        let at_least = |x: Number, bound: f64| x.value >= if x.python { bound } else { round(bound) };

        let force = action[0];
        let slope = GRAVITY * round(3.0 * state.position_m).cos();
        let change = if (-1.0..=1.0).contains(&force) {
            // A float32 times a Python number is a float32.
            f64::from(force * POWER as f32 - slope as f32)
        } else {
            // The clipped force is the Python number ±1.
            f64::from(force.clamp(-1.0, 1.0)) * POWER - slope
        };

        let mut velocity = array(state.velocity_m + round(change));
        if velocity.value > round(MAX_SPEED_M) {
            velocity = python(MAX_SPEED_M);
        }
        if velocity.value < round(-MAX_SPEED_M) {
            velocity = python(-MAX_SPEED_M);
        }
        let mut position = array(state.position_m + round(velocity.value));
        if position.value > round(MAX_POSITION_M) {
            position = python(MAX_POSITION_M);
        }
        if position.value < round(MIN_POSITION_M) {
            position = python(MIN_POSITION_M);
        }
        let at_wall = position.value
            == if position.python {
                MIN_POSITION_M
            } else {
                round(MIN_POSITION_M)
            };
        if at_wall && velocity.value < 0.0 {
            velocity = python(0.0);
        }

        let terminated = at_least(position, GOAL_POSITION_M) && at_least(velocity, self.goal_velocity);
        // The cost is that of the action before clipping.
        let effort = f64::from(force) * f64::from(force) * 0.1;
        let reward = if terminated { 100.0 } else { 0.0 } - effort;
        *state = MountainCarState {
            position_m: f64::from(position.value as f32),
            velocity_m: f64::from(velocity.value as f32),
            double_precision: false,
        };
        Transition { reward, terminated }
    }

    fn observe(&self, state: &MountainCarState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.position_m as f32, state.velocity_m as f32]);
    }

    fn scene(&self, state: &MountainCarState) -> Option<Scene> {
        Some(valley::scene(state.position_m, GOAL_POSITION_M))
    }
}

pub(super) fn entry() -> EnvEntry {
    EnvEntry::with_options::<MountainCarContinuous>(
        "MountainCarContinuous-v0",
        "Drive a weak car out of a valley by swinging back and forth",
    )
    .with_time_limit(999)
    .with_manual(Manual {
        description: "A car stands at the bottom of a valley and must reach the flag on the right hill. Its engine is \
            weaker than gravity on the slope, so it has to gain speed on the left hill first. Exploration is hard, \
            because doing nothing costs nothing. Option `goal_velocity`: minimum velocity at the flag, in m per step."
            .into(),
        observation: vec![
            Row::new("position", "m", MIN_POSITION_M, MAX_POSITION_M),
            Row::new("velocity", "m/step", -MAX_SPEED_M, MAX_SPEED_M),
        ],
        action: vec![Row::new("force, relative to the maximum", "1", -1.0, 1.0)],
        reward_range: [-0.1, 100.0],
        reward: "-0.1 a² per step, and 100 on reaching the flag.".into(),
        start: "Position uniform in [-0.6, -0.4) m, at rest.".into(),
        end: "Terminated at a position of at least 0.45 m with at least the goal velocity. Truncated after 999 steps."
            .into(),
        source: "Gymnasium 1.4.0, classic_control/continuous_mountain_car.py; the discrete task is A. Moore's (1990)."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let mut state = MountainCarState {
            position_m: -0.5,
            velocity_m: 0.01,
            double_precision: true,
        };
        let transition = MountainCarContinuous::default().step(&mut state, &[0.5], &mut NumpyRng::new(0));
        // v = 0.01 + 0.0015·0.5 - 0.0025 cos(-1.5), x = -0.5 + v
        assert!((state.velocity_m - 0.010_573_156_995_830_743).abs() < 1e-9);
        assert!(
            (state.position_m + 0.489_426_843_004_169_3).abs() < 3e-8,
            "the state is rounded to float32"
        );
        assert_eq!((transition.reward, transition.terminated), (-0.025, false));
    }

    #[test]
    fn the_left_wall_stops_the_car() {
        let mut state = MountainCarState {
            position_m: -1.19,
            velocity_m: -0.07,
            double_precision: true,
        };
        MountainCarContinuous::default().step(&mut state, &[-1.0], &mut NumpyRng::new(0));
        assert_eq!((state.position_m, state.velocity_m), (f64::from(-1.2f32), 0.0));
    }
}
