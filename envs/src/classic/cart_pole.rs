//! `CartPole-v1`: keep a pole upright by pushing the cart under it.

use serde::{Deserialize, Serialize};

use crate::manual::Row;
use crate::render::{Colour, Scene, Shape, View};
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `CartPole-v1`: a pole on a cart on a frictionless track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPole {
    /// Whether the reward is 0 per step and -1 for falling, instead of 1 per step.
    pub sutton_barto_reward: bool,
}

/// Positions and velocities of cart and pole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CartPoleState {
    /// Position of the cart, from the middle of the track, in m.
    pub position_m: f64,
    /// Velocity of the cart, in m/s.
    pub velocity_m_s: f64,
    /// Angle of the pole from upright, to the right, in rad.
    pub theta_rad: f64,
    /// Angular velocity of the pole, in rad/s.
    pub theta_dot_rad_s: f64,
}

const GRAVITY_M_S2: f64 = 9.8;
const CART_MASS_KG: f64 = 1.0;
const POLE_MASS_KG: f64 = 0.1;
const TOTAL_MASS_KG: f64 = POLE_MASS_KG + CART_MASS_KG;
pub(super) const HALF_LENGTH_M: f64 = 0.5;
const FORCE_N: f64 = 10.0;
const DT_S: f64 = 0.02;
pub(super) const MAX_POSITION_M: f64 = 2.4;
/// 12°, with Python's order of operations.
const MAX_THETA_RAD: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;

impl Dynamics for CartPole {
    type State = CartPoleState;

    fn observation_space(&self) -> Space {
        // Twice the limits, so that the observation of the step that exceeds them is still inside.
        let high = vec![
            (2.0 * MAX_POSITION_M) as f32,
            f32::INFINITY,
            (2.0 * MAX_THETA_RAD) as f32,
            f32::INFINITY,
        ];
        Space::vector(high.iter().map(|bound| -bound).collect(), high)
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2 }
    }

    fn initial(&self, rng: &mut NumpyRng) -> CartPoleState {
        let mut draw = || rng.uniform(-0.05, 0.05);
        CartPoleState {
            position_m: draw(),
            velocity_m_s: draw(),
            theta_rad: draw(),
            theta_dot_rad_s: draw(),
        }
    }

    fn step(&self, state: &mut CartPoleState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let CartPoleState {
            position_m,
            velocity_m_s,
            theta_rad,
            theta_dot_rad_s,
        } = *state;
        let force_n = if action[0] == 1.0 { FORCE_N } else { -FORCE_N };
        let (sin, cos) = (theta_rad.sin(), theta_rad.cos());

        let pole_moment = POLE_MASS_KG * HALF_LENGTH_M;
        let push = (force_n + pole_moment * (theta_dot_rad_s * theta_dot_rad_s) * sin) / TOTAL_MASS_KG;
        let theta_acc = (GRAVITY_M_S2 * sin - cos * push)
            / (HALF_LENGTH_M * (4.0 / 3.0 - POLE_MASS_KG * (cos * cos) / TOTAL_MASS_KG));
        let acceleration = push - pole_moment * theta_acc * cos / TOTAL_MASS_KG;

        // Explicit Euler: positions change by the old velocities.
        *state = CartPoleState {
            position_m: position_m + DT_S * velocity_m_s,
            velocity_m_s: velocity_m_s + DT_S * acceleration,
            theta_rad: theta_rad + DT_S * theta_dot_rad_s,
            theta_dot_rad_s: theta_dot_rad_s + DT_S * theta_acc,
        };
        let terminated = state.position_m.abs() > MAX_POSITION_M || state.theta_rad.abs() > MAX_THETA_RAD;
        let reward = match (self.sutton_barto_reward, terminated) {
            (false, _) => 1.0,
            (true, false) => 0.0,
            (true, true) => -1.0,
        };
        Transition { reward, terminated }
    }

    fn observe(&self, state: &CartPoleState, obs: &mut [f32]) {
        obs.copy_from_slice(&[
            state.position_m as f32,
            state.velocity_m_s as f32,
            state.theta_rad as f32,
            state.theta_dot_rad_s as f32,
        ]);
    }

    /// Gymnasium's picture of 600 × 400: the track between the limits, at a quarter of the height.
    fn scene(&self, state: &CartPoleState) -> Option<Scene> {
        const PIXEL_M: f64 = 2.0 * MAX_POSITION_M / 600.0;
        let view = View {
            centre: [0.0, 100.0 * PIXEL_M],
            width: 600.0 * PIXEL_M,
            height: 400.0 * PIXEL_M,
        };
        let track = Shape::Line {
            points: vec![[-10.0, 0.0], [10.0, 0.0]],
            width: PIXEL_M,
            colour: Colour::BLACK,
        };
        let hinge_m = 7.5 * PIXEL_M;
        let mut shapes = cart_and_pole(state, 2.0 * HALF_LENGTH_M, PIXEL_M, hinge_m);
        shapes.push(track);
        Some(Scene::on_white(view, shapes))
    }
}

/// A cart of 50 × 30 pixels and its pole, 10 pixels wide, on a hinge above the cart's middle.
pub(super) fn cart_and_pole(state: &CartPoleState, length_m: f64, pixel_m: f64, hinge_m: f64) -> Vec<Shape> {
    const POLE: Colour = Colour::rgb(202, 152, 101);
    const HINGE: Colour = Colour::rgb(129, 132, 203);
    let half_width_m = 5.0 * pixel_m;
    let cart = [[-25.0 * pixel_m, -15.0 * pixel_m], [25.0 * pixel_m, 15.0 * pixel_m]];
    let pole = [[-half_width_m, -half_width_m], [half_width_m, length_m - half_width_m]];
    let hinge = [state.position_m, hinge_m];
    vec![
        Shape::turned_rectangle(cart, 0.0, [state.position_m, 0.0], Colour::BLACK),
        // The angle of the pole is positive to the right, which is clockwise.
        Shape::turned_rectangle(pole, -state.theta_rad, hinge, POLE),
        Shape::Disc {
            centre: hinge,
            radius: half_width_m,
            colour: HINGE,
        },
    ]
}

pub(super) fn entry() -> EnvEntry {
    let infinity = f64::INFINITY;
    let (position, theta) = (2.0 * MAX_POSITION_M, 2.0 * MAX_THETA_RAD);
    EnvEntry::with_options::<CartPole>(
        "CartPole-v1",
        "Keep a pole upright by pushing the cart under it left or right",
    )
    .with_time_limit(500)
    .with_manual(Manual {
        description: "A pole of 0.1 kg and 1 m stands on a cart of 1 kg. In each step of 0.02 s, a force of 10 N pushes the \
                cart to the left (action 0) or to the right (action 1). Option `sutton_barto_reward`: a reward of 0 per \
                step and -1 for falling, as in Sutton and Barto's book."
            .into(),
        observation: vec![
            Row::new("position of the cart", "m", -position, position),
            Row::new("velocity of the cart", "m/s", -infinity, infinity),
            Row::new("angle of the pole from upright, to the right", "rad", -theta, theta),
            Row::new("angular velocity of the pole", "rad/s", -infinity, infinity),
        ],
        action: vec![Row::new("0: push left, 1: push right", "1", 0.0, 1.0)],
        reward_range: [1.0, 1.0],
        reward: "1 per step, including the last; with `sutton_barto_reward` 0 per step and -1 for the step that ends \
                the episode."
            .into(),
        start: "All four numbers uniform in [-0.05, 0.05).".into(),
        end: "Terminated when the cart is more than 2.4 m from the middle or the pole more than 12° from upright. \
                Truncated after 500 steps."
            .into(),
        source: "Gymnasium 1.4.0, classic_control/cartpole.py; A. Barto, R. Sutton and C. Anderson (1983).".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(start: [f64; 4], action: f32, dynamics: &CartPole) -> (CartPoleState, Transition) {
        let [position_m, velocity_m_s, theta_rad, theta_dot_rad_s] = start;
        let mut state = CartPoleState {
            position_m,
            velocity_m_s,
            theta_rad,
            theta_dot_rad_s,
        };
        let transition = dynamics.step(&mut state, &[action], &mut NumpyRng::new(0));
        (state, transition)
    }

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let (state, transition) = step([0.01, -0.02, 0.03, 0.04], 1.0, &CartPole::default());
        assert!((state.position_m - 0.0096).abs() < 1e-15);
        assert!((state.velocity_m_s - 0.174_679_195_747_555_25).abs() < 1e-15);
        assert!((state.theta_rad - 0.0308).abs() < 1e-15);
        assert!((state.theta_dot_rad_s + 0.243_068_717_960_008_1).abs() < 1e-15);
        assert_eq!((transition.reward, transition.terminated), (1.0, false));
    }

    #[test]
    fn falling_pays_as_the_option_says() {
        let falling = [0.0, 0.0, 0.2094, 1.0];
        let rewards = [false, true].map(|sutton_barto_reward| {
            let (_, transition) = step(falling, 0.0, &CartPole { sutton_barto_reward });
            assert!(transition.terminated);
            transition.reward
        });
        assert_eq!(rewards, [1.0, -1.0]);
    }
}
