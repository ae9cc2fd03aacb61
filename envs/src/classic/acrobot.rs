//! `Acrobot-v1`: swing up two links with a motor at the joint between them.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::numpy_math::{cos_f32, pow_2, sin_f32};
use super::runge_kutta::runge_kutta_4;
use crate::manual::Row;
use crate::render::{Colour, Scene, Shape, View};
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `Acrobot-v1`: two rods of 1 kg and 1 m, one hanging from the other, with a motor at the joint between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acrobot;

/// Angles and angular velocities of the links.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcrobotState {
    /// Angle of the first link from hanging, counter-clockwise, in [-π, π] rad.
    pub theta_1_rad: f64,
    /// Angle of the second link from the direction of the first, in [-π, π] rad.
    pub theta_2_rad: f64,
    /// Angular velocity of the first link, in rad/s.
    pub theta_dot_1_rad_s: f64,
    /// Angular velocity of the second link relative to the first, in rad/s.
    pub theta_dot_2_rad_s: f64,
    /// Whether the state is in double precision. In Gymnasium the start state is `float32`, and so are its sines and
    /// cosines; from the first step on everything is double.
    pub double_precision: bool,
}

const DT_S: f64 = 0.2;
const GRAVITY_M_S2: f64 = 9.8;
const MASS_KG: f64 = 1.0;
pub(super) const LENGTH_M: f64 = 1.0;
const CENTRE_M: f64 = 0.5;
const INERTIA_KG_M2: f64 = 1.0;
const MAX_SPEED_1_RAD_S: f64 = 4.0 * PI;
const MAX_SPEED_2_RAD_S: f64 = 9.0 * PI;

/// Both angles, then both angular velocities.
type Vector = [f64; 4];

impl Dynamics for Acrobot {
    type State = AcrobotState;

    fn observation_space(&self) -> Space {
        let high = vec![1.0, 1.0, 1.0, 1.0, MAX_SPEED_1_RAD_S as f32, MAX_SPEED_2_RAD_S as f32];
        Space::vector(high.iter().map(|bound| -bound).collect(), high)
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 3 }
    }

    fn initial(&self, rng: &mut NumpyRng) -> AcrobotState {
        let mut draw = || f64::from(rng.uniform(-0.1, 0.1) as f32);
        AcrobotState {
            theta_1_rad: draw(),
            theta_2_rad: draw(),
            theta_dot_1_rad_s: draw(),
            theta_dot_2_rad_s: draw(),
            double_precision: false,
        }
    }

    fn step(&self, state: &mut AcrobotState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let torque_nm = f64::from(action[0]) - 1.0;
        let [theta_1, theta_2, theta_dot_1, theta_dot_2] = runge_kutta_4(
            [
                state.theta_1_rad,
                state.theta_2_rad,
                state.theta_dot_1_rad_s,
                state.theta_dot_2_rad_s,
            ],
            DT_S,
            |s| derivative(s, torque_nm),
        );
        *state = AcrobotState {
            theta_1_rad: wrap(theta_1),
            theta_2_rad: wrap(theta_2),
            theta_dot_1_rad_s: theta_dot_1.clamp(-MAX_SPEED_1_RAD_S, MAX_SPEED_1_RAD_S),
            theta_dot_2_rad_s: theta_dot_2.clamp(-MAX_SPEED_2_RAD_S, MAX_SPEED_2_RAD_S),
            double_precision: true,
        };
        // The height of the tip above the pivot.
        let terminated = -state.theta_1_rad.cos() - (state.theta_2_rad + state.theta_1_rad).cos() > 1.0;
        Transition {
            reward: if terminated { 0.0 } else { -1.0 },
            terminated,
        }
    }

    fn observe(&self, state: &AcrobotState, obs: &mut [f32]) {
        let sin_cos = |x: f64| {
            if state.double_precision {
                (x.sin() as f32, x.cos() as f32)
            } else {
                (sin_f32(x as f32), cos_f32(x as f32))
            }
        };
        let ((sin_1, cos_1), (sin_2, cos_2)) = (sin_cos(state.theta_1_rad), sin_cos(state.theta_2_rad));
        obs.copy_from_slice(&[
            cos_1,
            sin_1,
            cos_2,
            sin_2,
            state.theta_dot_1_rad_s as f32,
            state.theta_dot_2_rad_s as f32,
        ]);
    }

    /// Gymnasium's picture: the goal line, the links and their joints.
    fn scene(&self, state: &AcrobotState) -> Option<Scene> {
        const LINK: Colour = Colour::rgb(0, 204, 204);
        const JOINT: Colour = Colour::rgb(204, 204, 0);
        const HALF_WIDTH_M: f64 = 0.1;
        let goal = Shape::Line {
            points: vec![[-2.2, LENGTH_M], [2.2, LENGTH_M]],
            width: 0.01,
            colour: Colour::BLACK,
        };
        let elbow = [LENGTH_M * state.theta_1_rad.sin(), -LENGTH_M * state.theta_1_rad.cos()];
        let mut shapes = vec![goal];
        for (joint, angle_rad) in [
            ([0.0, 0.0], state.theta_1_rad),
            (elbow, state.theta_1_rad + state.theta_2_rad),
        ] {
            let link = [[0.0, -HALF_WIDTH_M], [LENGTH_M, HALF_WIDTH_M]];
            shapes.push(Shape::turned_rectangle(link, angle_rad - PI / 2.0, joint, LINK));
            shapes.push(Shape::Disc {
                centre: joint,
                radius: HALF_WIDTH_M,
                colour: JOINT,
            });
        }
        let view = View {
            centre: [0.0, 0.0],
            width: 4.4,
            height: 4.4,
        };
        Some(Scene::on_white(view, shapes))
    }
}

/// Lagrange's equations of the two links, solved for the accelerations.
fn derivative([theta_1, theta_2, theta_dot_1, theta_dot_2]: Vector, torque_nm: f64) -> Vector {
    let (m, l, lc, inertia, g) = (MASS_KG, LENGTH_M, CENTRE_M, INERTIA_KG_M2, GRAVITY_M_S2);
    let (sin_2, cos_2) = (theta_2.sin(), theta_2.cos());
    // Python's order of operations; the constants are exact.
    let d1 = m * lc * lc + m * (l * l + lc * lc + 2.0 * l * lc * cos_2) + inertia + inertia;
    let d2 = m * (lc * lc + l * lc * cos_2) + inertia;
    let phi_2 = m * lc * g * (theta_1 + theta_2 - PI / 2.0).cos();
    let phi_1 = -m * l * lc * pow_2(theta_dot_2) * sin_2 - 2.0 * m * l * lc * theta_dot_2 * theta_dot_1 * sin_2
        + (m * lc + m * l) * g * (theta_1 - PI / 2.0).cos()
        + phi_2;
    let theta_acc_2 = (torque_nm + d2 / d1 * phi_1 - m * l * lc * pow_2(theta_dot_1) * sin_2 - phi_2)
        / (m * lc * lc + inertia - pow_2(d2) / d1);
    let theta_acc_1 = -(d2 * theta_acc_2 + phi_1) / d1;
    [theta_dot_1, theta_dot_2, theta_acc_1, theta_acc_2]
}

/// The angle in [-π, π]. Whole turns are added one at a time, as in Gymnasium, because each addition rounds.
fn wrap(mut angle_rad: f64) -> f64 {
    while angle_rad > PI {
        angle_rad -= 2.0 * PI;
    }
    while angle_rad < -PI {
        angle_rad += 2.0 * PI;
    }
    angle_rad
}

pub(super) fn entry() -> EnvEntry {
    let (fast, faster) = (MAX_SPEED_1_RAD_S, MAX_SPEED_2_RAD_S);
    EnvEntry::new(
        "Acrobot-v1",
        "Swing the tip of two links above a line with a motor at the joint between them",
        || Acrobot,
    )
    .with_time_limit(500)
    .with_manual(Manual {
        description:
            "Two rods of 1 kg and 1 m hang from a fixed pivot, one from the other. Only the joint between them \
            has a motor. Its torque is -1, 0 or 1 N m (actions 0, 1, 2) for 0.2 s. The tip must reach 1 m above the pivot."
                .into(),
        observation: vec![
            Row::new("cos θ1, first link from hanging", "1", -1.0, 1.0),
            Row::new("sin θ1", "1", -1.0, 1.0),
            Row::new("cos θ2, second link relative to the first", "1", -1.0, 1.0),
            Row::new("sin θ2", "1", -1.0, 1.0),
            Row::new("angular velocity of the first link", "rad/s", -fast, fast),
            Row::new(
                "angular velocity of the second link relative to the first",
                "rad/s",
                -faster,
                faster,
            ),
        ],
        action: vec![Row::new("0: -1 N m, 1: no torque, 2: 1 N m", "1", 0.0, 2.0)],
        reward_range: [-1.0, 0.0],
        reward: "-1 per step, 0 on the step that reaches the line.".into(),
        start: "Angles and angular velocities uniform in [-0.1, 0.1).".into(),
        end: "Terminated when -cos θ1 - cos(θ1 + θ2) > 1. Truncated after 500 steps.".into(),
        source: "Gymnasium 1.4.0, classic_control/acrobot.py, with the dynamics of R. Sutton and A. Barto's book."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let mut state = AcrobotState {
            theta_1_rad: 0.05,
            theta_2_rad: -0.03,
            theta_dot_1_rad_s: 0.02,
            theta_dot_2_rad_s: 0.01,
            double_precision: false,
        };
        let transition = Acrobot.step(&mut state, &[2.0], &mut NumpyRng::new(0));
        let expected = [
            0.033_964_268_077_167_06,
            0.014_028_356_136_744_108,
            -0.175_464_650_251_537,
            0.419_715_602_265_269_1,
        ];
        let found = [
            state.theta_1_rad,
            state.theta_2_rad,
            state.theta_dot_1_rad_s,
            state.theta_dot_2_rad_s,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "{found} against {expected}");
        }
        assert_eq!((transition.reward, transition.terminated), (-1.0, false));
    }

    #[test]
    fn a_step_that_ends_above_the_line_terminates_and_costs_nothing() {
        let mut state = AcrobotState {
            theta_1_rad: PI - 0.1,
            theta_2_rad: 0.0,
            theta_dot_1_rad_s: 0.0,
            theta_dot_2_rad_s: 0.0,
            double_precision: true,
        };
        let transition = Acrobot.step(&mut state, &[1.0], &mut NumpyRng::new(0));
        assert_eq!((transition.reward, transition.terminated), (0.0, true));
    }

    #[test]
    fn angles_come_back_by_whole_turns() {
        assert_eq!(wrap(PI), PI);
        assert!((wrap(3.0 * PI + 0.5) - (0.5 - PI)).abs() < 1e-14);
        assert!((wrap(-2.5 * PI) + 0.5 * PI).abs() < 1e-14);
    }
}
