//! `MountainCar-v0`: a weak car in a valley, with three discrete actions.

use serde::{Deserialize, Serialize};

use super::valley::{self, GRAVITY, MAX_POSITION_M, MAX_SPEED_M, MIN_POSITION_M};
use crate::manual::Row;
use crate::render::Scene;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `MountainCar-v0`: a car in a valley with the profile sin 3x, with a force to the left, none, or to the
/// right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MountainCar {
    /// Minimum velocity at the goal, in m per step.
    pub goal_velocity: f64,
}

/// Position and velocity of the car, in double precision throughout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiscreteCarState {
    /// Position in m.
    pub position_m: f64,
    /// Velocity in m per step.
    pub velocity_m: f64,
}

const GOAL_POSITION_M: f64 = 0.5;
const FORCE: f64 = 0.001;

impl Dynamics for MountainCar {
    type State = DiscreteCarState;

    fn observation_space(&self) -> Space {
        Space::vector(
            vec![MIN_POSITION_M as f32, -MAX_SPEED_M as f32],
            vec![MAX_POSITION_M as f32, MAX_SPEED_M as f32],
        )
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 3 }
    }

    fn initial(&self, rng: &mut NumpyRng) -> DiscreteCarState {
        DiscreteCarState {
            position_m: rng.uniform(-0.6, -0.4),
            velocity_m: 0.0,
        }
    }

    fn step(&self, state: &mut DiscreteCarState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let direction = f64::from(action[0]) - 1.0;
        let change = direction * FORCE - (3.0 * state.position_m).cos() * GRAVITY;
        let mut velocity = (state.velocity_m + change).clamp(-MAX_SPEED_M, MAX_SPEED_M);
        let position = (state.position_m + velocity).clamp(MIN_POSITION_M, MAX_POSITION_M);
        if position == MIN_POSITION_M && velocity < 0.0 {
            velocity = 0.0;
        }
        *state = DiscreteCarState {
            position_m: position,
            velocity_m: velocity,
        };
        Transition {
            reward: -1.0,
            terminated: position >= GOAL_POSITION_M && velocity >= self.goal_velocity,
        }
    }

    fn observe(&self, state: &DiscreteCarState, obs: &mut [f32]) {
        obs.copy_from_slice(&[state.position_m as f32, state.velocity_m as f32]);
    }

    fn scene(&self, state: &DiscreteCarState) -> Option<Scene> {
        Some(valley::scene(state.position_m, GOAL_POSITION_M))
    }
}

pub(super) fn entry() -> EnvEntry {
    EnvEntry::with_options::<MountainCar>(
        "MountainCar-v0",
        "Get a weak car out of a valley as soon as possible, with three actions",
    )
    .with_time_limit(200)
    .with_manual(Manual {
        description: "The valley of `MountainCarContinuous-v0` with the flag slightly higher up. The car accelerates to \
            the left (action 0), rolls (1) or accelerates to the right (2). Option `goal_velocity`: minimum velocity at \
            the flag, in m per step."
            .into(),
        observation: vec![
            Row::new("position", "m", MIN_POSITION_M, MAX_POSITION_M),
            Row::new("velocity", "m/step", -MAX_SPEED_M, MAX_SPEED_M),
        ],
        action: vec![Row::new("0: left, 1: roll, 2: right", "1", 0.0, 2.0)],
        reward_range: [-1.0, -1.0],
        reward: "-1 per step.".into(),
        start: "Position uniform in [-0.6, -0.4) m, at rest.".into(),
        end: "Terminated at a position of at least 0.5 m with at least the goal velocity. Truncated after 200 steps."
            .into(),
        source: "Gymnasium 1.4.0, classic_control/mountain_car.py; A. Moore (1990).".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let mut state = DiscreteCarState {
            position_m: -0.5,
            velocity_m: 0.01,
        };
        let transition = MountainCar::default().step(&mut state, &[2.0], &mut NumpyRng::new(0));
        // v = 0.01 + 0.001 - 0.0025 cos(-1.5), x = -0.5 + v
        assert!((state.velocity_m - (0.011 - 0.0025 * 1.5f64.cos())).abs() < 1e-17);
        assert_eq!(state.position_m, -0.5 + state.velocity_m);
        assert_eq!((transition.reward, transition.terminated), (-1.0, false));
    }
}
