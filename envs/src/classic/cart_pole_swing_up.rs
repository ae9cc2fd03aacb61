//! `CartPoleSwingUp-v0`: swing a pole up from hanging, with continuous forces on its cart, and keep it upright.
//!
//! The equations of motion, with the pole's angle θ from upright, the cart's position x, the distance l from the hinge
//! to the pole's centre of mass, and the motor's force F:
//!
//! ```text
//! (M + m) x'' + m l cos θ θ''  = F - b_x x' + m l θ'² sin θ
//! m l cos θ x'' + (I + m l²) θ'' = m g l sin θ - b_θ θ'
//! ```

use std::f64::consts::{LN_10, PI};

use serde::{Deserialize, Serialize};

use super::cart_pole::{CartPoleState, cart_and_pole};
use super::runge_kutta::runge_kutta_4;
use crate::manual::Row;
use crate::render::{Colour, Scene, Shape, View};
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// The task `CartPoleSwingUp-v0`: a pole that hangs from a motorised cart on a short track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CartPoleSwingUp {
    /// Whether the reward is 1 while the pole stands in the middle and 0 otherwise, instead of the smooth reward.
    pub sparse: bool,
}

const DT_S: f64 = 0.01;
const GRAVITY_M_S2: f64 = 9.81;
const CART_MASS_KG: f64 = 1.0;
const POLE_MASS_KG: f64 = 0.1;
/// Distance from the hinge to the pole's centre of mass.
const CENTRE_M: f64 = 0.5;
pub(super) const POLE_LENGTH_M: f64 = 1.0;
/// Radius of the pole, which is a capsule: a cylinder of [`POLE_LENGTH_M`] with a hemisphere at each end.
const RADIUS_M: f64 = 0.045;
/// Moment of inertia of the pole about its centre: a cylinder, and two hemispheres whose centres of mass lie 3r/8
/// beyond its ends.
const INERTIA_KG_M2: f64 = {
    let (length, radius) = (POLE_LENGTH_M, RADIUS_M);
    let cylinder_kg = POLE_MASS_KG * length / (length + 4.0 / 3.0 * radius);
    let caps_kg = POLE_MASS_KG - cylinder_kg;
    cylinder_kg * (length * length / 12.0 + radius * radius / 4.0)
        + caps_kg * (0.4 * radius * radius + length * length / 4.0 + 0.375 * length * radius)
};
const SLIDER_DAMPING: f64 = 5e-4;
const HINGE_DAMPING: f64 = 2e-6;
const MAX_FORCE_N: f64 = 10.0;
pub(super) const TRACK_M: f64 = 1.8;

/// x, θ, x', θ'.
type Vector = [f64; 4];

impl CartPoleSwingUp {
    fn reward(&self, state: &CartPoleState, control: f64) -> f64 {
        let upright = state.theta_rad.cos();
        if self.sparse {
            return f64::from(u8::from(state.position_m.abs() <= 0.25 && upright >= 0.995));
        }
        let centred = (1.0 + bell(state.position_m, 2.0)) / 2.0;
        let effort = (4.0 + (1.0 - control * control).max(0.0)) / 5.0;
        let slow = (1.0 + bell(state.theta_dot_rad_s, 5.0)) / 2.0;
        (upright + 1.0) / 2.0 * centred * effort * slow
    }
}

/// A Gaussian function with the value 1 at 0 and 0.1 at `margin`.
fn bell(x: f64, margin: f64) -> f64 {
    (-LN_10 * (x / margin) * (x / margin)).exp()
}

impl Dynamics for CartPoleSwingUp {
    type State = CartPoleState;

    fn observation_space(&self) -> Space {
        let high = vec![TRACK_M as f32, 1.0, 1.0, f32::INFINITY, f32::INFINITY];
        Space::vector(high.iter().map(|bound| -bound).collect(), high)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> CartPoleState {
        let mut draw = || 0.01 * rng.standard_normal();
        CartPoleState {
            position_m: draw(),
            theta_rad: PI + draw(),
            velocity_m_s: draw(),
            theta_dot_rad_s: draw(),
        }
    }

    fn step(&self, state: &mut CartPoleState, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let control = f64::from(action[0].clamp(-1.0, 1.0));
        let start = [
            state.position_m,
            state.theta_rad,
            state.velocity_m_s,
            state.theta_dot_rad_s,
        ];
        let [x, theta, mut x_dot, theta_dot] = runge_kutta_4(start, DT_S, |s| derivative(s, MAX_FORCE_N * control));
        if x.abs() >= TRACK_M && x * x_dot > 0.0 {
            x_dot = 0.0;
        }
        *state = CartPoleState {
            position_m: x.clamp(-TRACK_M, TRACK_M),
            theta_rad: theta,
            velocity_m_s: x_dot,
            theta_dot_rad_s: theta_dot,
        };
        Transition {
            reward: self.reward(state, control),
            terminated: false,
        }
    }

    fn observe(&self, state: &CartPoleState, obs: &mut [f32]) {
        obs.copy_from_slice(&[
            state.position_m as f32,
            state.theta_rad.cos() as f32,
            state.theta_rad.sin() as f32,
            state.velocity_m_s as f32,
            state.theta_dot_rad_s as f32,
        ]);
    }

    fn scene(&self, state: &CartPoleState) -> Option<Scene> {
        const PIXEL_M: f64 = 0.0075;
        const RAIL: Colour = Colour::rgb(130, 130, 130);
        let line = |from: [f64; 2], to: [f64; 2], width: f64| Shape::Line {
            points: vec![from, to],
            width,
            colour: RAIL,
        };
        // The stops are where the sides of the cart end up.
        let end = TRACK_M + 28.0 * PIXEL_M;
        let mut shapes = vec![
            line([-end, 0.0], [end, 0.0], 3.0 * PIXEL_M),
            line([-end, -0.12], [-end, 0.12], 5.0 * PIXEL_M),
            line([end, -0.12], [end, 0.12], 5.0 * PIXEL_M),
        ];
        shapes.extend(cart_and_pole(state, POLE_LENGTH_M, PIXEL_M, 0.0));
        let view = View {
            centre: [0.0, 0.0],
            width: 5.8,
            height: 2.6,
        };
        Some(Scene::on_white(view, shapes))
    }
}

/// The derivative of the state. The equations of motion are linear in the two accelerations and solved by Cramer's
/// rule.
fn derivative([_, theta, x_dot, theta_dot]: Vector, force_n: f64) -> Vector {
    let (sin, cos) = (theta.sin(), theta.cos());
    let moment = POLE_MASS_KG * CENTRE_M;
    let mass = CART_MASS_KG + POLE_MASS_KG;
    let inertia = INERTIA_KG_M2 + moment * CENTRE_M;
    let coupling = moment * cos;
    let push = force_n - SLIDER_DAMPING * x_dot + moment * theta_dot * theta_dot * sin;
    let turn = moment * GRAVITY_M_S2 * sin - HINGE_DAMPING * theta_dot;
    let determinant = mass * inertia - coupling * coupling;
    [
        x_dot,
        theta_dot,
        (inertia * push - coupling * turn) / determinant,
        (mass * turn - coupling * push) / determinant,
    ]
}

pub(super) fn entry() -> EnvEntry {
    let infinity = f64::INFINITY;
    EnvEntry::with_options::<CartPoleSwingUp>(
        "CartPoleSwingUp-v0",
        "Swing a pole up from hanging by moving its cart, and keep it upright in the middle",
    )
    .with_time_limit(1000)
    .with_manual(Manual {
        description: "A pole of 0.1 kg and 1 m hangs from a cart of 1 kg on a track of 3.6 m. The cart's motor must swing \
            the pole up and balance it. The cart stops immediately at the ends of the track. Option `sparse`: a reward of \
            1 while |x| ≤ 0.25 m and cos θ ≥ 0.995, and of 0 otherwise."
            .into(),
        observation: vec![
            Row::new("position of the cart", "m", -TRACK_M, TRACK_M),
            Row::new("cos θ, the pole from upright", "1", -1.0, 1.0),
            Row::new("sin θ", "1", -1.0, 1.0),
            Row::new("velocity of the cart", "m/s", -infinity, infinity),
            Row::new("angular velocity of the pole", "rad/s", -infinity, infinity),
        ],
        action: vec![Row::new("force, in units of 10 N", "1", -1.0, 1.0)],
        reward_range: [0.0, 1.0],
        reward: "The product of (cos θ + 1)/2, (1 + b(x/2))/2, (1 + b(θ'/5))/2 and (5 - u²)/5 after the step, with \
            b(y) = 0.1^(y²). It is 0 when the pole hangs and 1 when it is upright, in the middle and at rest."
            .into(),
        start: "Hanging in the middle at rest, with 0.01 times a standard normal added to each of x, θ, x', θ', in this order.".into(),
        end: "Truncated after 1000 steps of 0.01 s. Never terminated.".into(),
        source: "After dm_control's cartpole swingup (Y. Tassa et al. 2018, arXiv 1801.00690): its masses, lengths, \
            time step, start and reward, with the equations of motion in closed form, integrated by the fourth-order \
            Runge-Kutta method. The ends of MuJoCo's track are soft, those of this one are not."
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(position_m: f64, theta_rad: f64, velocity_m_s: f64, theta_dot_rad_s: f64) -> CartPoleState {
        CartPoleState {
            position_m,
            velocity_m_s,
            theta_rad,
            theta_dot_rad_s,
        }
    }

    fn energy_j(s: &CartPoleState) -> f64 {
        let moment = POLE_MASS_KG * CENTRE_M;
        0.5 * (CART_MASS_KG + POLE_MASS_KG) * s.velocity_m_s * s.velocity_m_s
            + moment * s.theta_rad.cos() * s.velocity_m_s * s.theta_dot_rad_s
            + 0.5 * (INERTIA_KG_M2 + moment * CENTRE_M) * s.theta_dot_rad_s * s.theta_dot_rad_s
            + moment * GRAVITY_M_S2 * s.theta_rad.cos()
    }

    #[test]
    fn one_step_agrees_with_the_equations_on_paper() {
        let mut s = state(0.0, PI, 0.0, 0.0);
        CartPoleSwingUp::default().step(&mut s, &[0.5], &mut NumpyRng::new(0));
        assert!((s.position_m - 2.433_355_7e-4).abs() < 1e-11, "{}", s.position_m);
        assert!((s.theta_rad - 3.141_946_044_307_601).abs() < 1e-13, "{}", s.theta_rad);
        assert!(
            (s.velocity_m_s - 0.048_666_666_054_454_51).abs() < 1e-14,
            "{}",
            s.velocity_m_s
        );
        assert!(
            (s.theta_dot_rad_s - 0.070_669_091_333_703_26).abs() < 1e-14,
            "{}",
            s.theta_dot_rad_s
        );
    }

    #[test]
    fn the_reward_agrees_with_the_formula_on_paper() {
        let reward = CartPoleSwingUp::default().reward(&state(0.3, 0.4, 0.0, 1.2), 0.5);
        assert!((reward - 0.834_227_854_794_956_8).abs() < 1e-14, "{reward}");
        let sparse = CartPoleSwingUp { sparse: true };
        assert_eq!(sparse.reward(&state(0.2, 0.05, 0.0, 9.0), 1.0), 1.0);
        assert_eq!(sparse.reward(&state(0.3, 0.05, 0.0, 0.0), 0.0), 0.0);
    }

    #[test]
    fn a_free_swing_loses_only_what_the_dampers_take() {
        let mut s = state(0.0, 2.0, 0.0, 0.0);
        let before = energy_j(&s);
        let task = CartPoleSwingUp::default();
        (0..1000).for_each(|_| {
            task.step(&mut s, &[0.0], &mut NumpyRng::new(0));
        });
        let lost = before - energy_j(&s);
        assert!((0.0..2e-3).contains(&lost), "ten seconds cost {lost} J");
    }

    #[test]
    fn the_end_of_the_track_stops_the_cart() {
        let mut s = state(1.79, PI, 3.0, 0.0);
        CartPoleSwingUp::default().step(&mut s, &[1.0], &mut NumpyRng::new(0));
        assert_eq!((s.position_m, s.velocity_m_s), (TRACK_M, 0.0));
    }
}
