//! `Pendulum-v1`: swing a pendulum up and keep it upright, with too little torque to lift it directly.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::numpy_math::{pow_2, pow_2_f32};
use crate::manual::Row;
use crate::render::{Colour, Scene, Shape, View};
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `Pendulum-v1`: a rod of 1 kg and 1 m with a motor at its pivot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pendulum {
    /// Gravity in m/s².
    pub g: f64,
}

impl Default for Pendulum {
    fn default() -> Self {
        Pendulum { g: 10.0 }
    }
}

/// Angle and angular velocity of the rod.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Motion", into = "Motion")]
pub struct PendulumState {
    motion: Motion,
    /// Sine and cosine of the angle, for the observation and the next step.
    sin_cos: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Motion {
    /// Angle from upright, counter-clockwise, in rad, not wrapped.
    theta_rad: f64,
    /// Angular velocity in rad/s.
    theta_dot_rad_s: f64,
}

impl From<Motion> for PendulumState {
    fn from(motion: Motion) -> Self {
        PendulumState {
            motion,
            sin_cos: motion.theta_rad.sin_cos(),
        }
    }
}

impl From<PendulumState> for Motion {
    fn from(state: PendulumState) -> Self {
        state.motion
    }
}

const MAX_TORQUE_NM: f32 = 2.0;
const MAX_SPEED_RAD_S: f64 = 8.0;
const DT_S: f64 = 0.05;
const MASS_KG: f64 = 1.0;
const LENGTH_M: f64 = 1.0;

impl Dynamics for Pendulum {
    type State = PendulumState;

    fn observation_space(&self) -> Space {
        let high = vec![1.0, 1.0, MAX_SPEED_RAD_S as f32];
        Space::vector(high.iter().map(|bound| -bound).collect(), high)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -MAX_TORQUE_NM, MAX_TORQUE_NM)
    }

    fn initial(&self, rng: &mut NumpyRng) -> PendulumState {
        PendulumState::from(Motion {
            theta_rad: rng.uniform(-PI, PI),
            theta_dot_rad_s: rng.uniform(-1.0, 1.0),
        })
    }

    #[inline]
    fn step(&self, state: &mut PendulumState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let Motion {
            theta_rad,
            theta_dot_rad_s,
        } = state.motion;
        let (sin, _) = state.sin_cos;
        let torque_nm = action[0].clamp(-MAX_TORQUE_NM, MAX_TORQUE_NM);

        // The cost of the state before the step. The torque is a float32, so its term is a float32 as well.
        let torque_cost = f64::from(0.001 * pow_2_f32(torque_nm));
        let cost = pow_2(wrap(theta_rad)) + 0.1 * pow_2(theta_dot_rad_s) + torque_cost;

        // A rod that rotates about its end: θ'' = 3g/(2l) sin θ + 3/(ml²) u. The second product is rounded to float32.
        let gravity = 3.0 * self.g / (2.0 * LENGTH_M) * sin;
        let drive = f64::from((3.0 / (MASS_KG * LENGTH_M * LENGTH_M)) as f32 * torque_nm);
        let speed = (theta_dot_rad_s + (gravity + drive) * DT_S).clamp(-MAX_SPEED_RAD_S, MAX_SPEED_RAD_S);
        *state = PendulumState::from(Motion {
            theta_rad: theta_rad + speed * DT_S,
            theta_dot_rad_s: speed,
        });
        Transition {
            reward: -cost,
            terminated: false,
        }
    }

    fn observe(&self, state: &PendulumState, obs: &mut [f32]) {
        let (sin, cos) = state.sin_cos;
        obs.copy_from_slice(&[cos as f32, sin as f32, state.motion.theta_dot_rad_s as f32]);
    }

    /// Gymnasium's picture, without the arrow for the torque.
    fn scene(&self, state: &PendulumState) -> Option<Scene> {
        let (sin, cos) = state.sin_cos;
        let rod = Shape::Line {
            points: vec![[0.0, 0.0], [-LENGTH_M * sin, LENGTH_M * cos]],
            width: 0.2,
            colour: Colour::rgb(204, 77, 77),
        };
        let axle = Shape::Disc {
            centre: [0.0, 0.0],
            radius: 0.05,
            colour: Colour::BLACK,
        };
        let view = View {
            centre: [0.0, 0.0],
            width: 4.4,
            height: 4.4,
        };
        Some(Scene::on_white(view, vec![rod, axle]))
    }
}

/// The angle in [-π, π).
fn wrap(angle_rad: f64) -> f64 {
    const TURN: f64 = 2.0 * PI;
    let raised = angle_rad + PI;
    if !(raised > -TURN && raised < 2.0 * TURN) {
        return raised.rem_euclid(TURN) - PI;
    }
    // For angles within one turn of the range, adding a turn gives exactly the remainder without a division. There is
    // no branch, because it would be hard to predict.
    let turns = i8::from(raised < 0.0) - i8::from(raised >= TURN);
    raised + f64::from(turns) * TURN - PI
}

pub(super) fn entry() -> EnvEntry {
    let speed = MAX_SPEED_RAD_S;
    EnvEntry::with_options::<Pendulum>(
        "Pendulum-v1",
        "Swing a pendulum up with too little torque and balance it",
    )
    .with_time_limit(200)
    .with_manual(Manual {
        description:
            "A rod of 1 kg and 1 m hangs from a motor at one of its ends. The motor is too weak to lift the rod \
                directly. It must swing the rod back and forth to gain energy before the rod can stand upright \
                (θ = 0). Option `g`: gravity in m/s²."
                .into(),
        observation: vec![
            Row::new("cos θ: height of the free end", "m", -1.0, 1.0),
            Row::new("sin θ: sideways position of the free end", "m", -1.0, 1.0),
            Row::new("angular velocity, counter-clockwise", "rad/s", -speed, speed),
        ],
        action: vec![Row::new("torque, counter-clockwise", "N m", -2.0, 2.0)],
        // Hanging down at full speed and full torque.
        reward_range: [-(PI * PI + 0.1 * 64.0 + 0.001 * 4.0), 0.0],
        reward:
            "-(θ² + 0.1 θ'² + 0.001 u²) of the state before the step, with θ in [-π, π). The lowest value is -16.27 \
                (hanging, at full speed and full torque), the highest 0 (upright and at rest)."
                .into(),
        start: "θ uniform in [-π, π) rad, θ' uniform in [-1, 1) rad/s.".into(),
        end: "Truncated after 200 steps of 0.05 s. Never terminated.".into(),
        source: "Gymnasium 1.4.0, classic_control/pendulum.py.".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrap_equals_the_remainder_bit_for_bit() {
        let mut rng = NumpyRng::new(0);
        let edges = [
            0.0,
            PI,
            -PI,
            3.0 * PI,
            -3.0 * PI,
            2.0 * PI,
            -2.0 * PI,
            f64::EPSILON,
            -f64::EPSILON,
        ];
        let angles = (0..200_000).map(|_| rng.uniform(-20.0, 20.0));
        for angle in angles.chain(edges) {
            let remainder = (angle + PI).rem_euclid(2.0 * PI) - PI;
            assert_eq!(wrap(angle).to_bits(), remainder.to_bits(), "{angle}");
            assert_eq!(angle.sin_cos(), (angle.sin(), angle.cos()), "{angle}");
        }
    }

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let mut state = PendulumState::from(Motion {
            theta_rad: 1.0,
            theta_dot_rad_s: 0.5,
        });
        let transition = Pendulum::default().step(&mut state, &[1.5], &mut NumpyRng::new(0));
        // θ' = 0.5 + (15 sin 1 + 3·1.5)·0.05, θ = 1 + 0.05 θ', reward = -(1 + 0.1·0.25 + 0.001·2.25)
        assert!((state.motion.theta_dot_rad_s - 1.356_103_238_605_922_6).abs() < 1e-15);
        assert!((state.motion.theta_rad - 1.067_805_161_930_296_2).abs() < 1e-15);
        assert!(
            (transition.reward + 1.027_25).abs() < 1e-9,
            "float32 in the torque's term costs some digits"
        );
    }
}
