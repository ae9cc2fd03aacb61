//! P4, P6, P8, P9: one step with a reward r(a) that depends only on the action.
//!
//! * `ProbeTarget-v0` (P4): r = -(a - 0.3)². With α = 0 the policy's mode must reach 0.3.
//! * `ProbeTorque-v0` (P9): the same in newton-metres, u in [-2, 2]: r = -(u/2 - 0.3)². The mode must reach 0.6 N m,
//!   which is 0.3 when normalised.
//! * `ProbeQuadratic-v0` (P6): r = -k a². The soft value of a policy N(0, σ²) near zero, where tanh is nearly linear,
//!   is -k σ² + α ln σ + const; its derivative -2kσ + α/σ vanishes at σ = √(α / 2k). With k = 10, α = 0.2: σ = 0.1.
//! * `ProbeFlat-v0` (P8): r = 0, so that only the entropy matters. With a learned α the constraint entropy ≥ target is
//!   inactive for any target below ln 2: the uniform policy is optimal, so the entropy must reach ln 2 per coordinate
//!   and α must fall towards 0. The constraint is active only with a reward, as in `ProbeQuadratic-v0`: there ½ ln(2πe
//!   σ²) = target determines σ, and α = 2kσ² follows from P6.

use serde::{Deserialize, Serialize};

use super::spaces::{constant_observation, unit_action};
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// P4: reward -(a - 0.3)².
#[derive(Clone, Copy, Debug, Default)]
pub struct Target;

/// P9: reward -(u/2 - 0.3)², u in N m.
#[derive(Clone, Copy, Debug, Default)]
pub struct Torque;

/// P6: reward -k a².
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quadratic {
    /// Curvature k of the reward.
    pub k: f64,
}

impl Default for Quadratic {
    fn default() -> Self {
        Quadratic { k: 10.0 }
    }
}

/// P8: reward 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flat;

/// The best action of [`Target`] and [`Torque`], normalised.
const BEST_ACTION: f64 = 0.3;
const MAX_TORQUE_NM: f32 = 2.0;

/// Implements [`Dynamics`] for a one-step task from its action space and reward.
macro_rules! bandit {
    ($task:ty, $action_space:expr, $reward:expr) => {
        impl Dynamics for $task {
            type State = ();

            fn observation_space(&self) -> Space {
                constant_observation()
            }

            fn action_space(&self) -> Space {
                $action_space
            }

            fn initial(&self, _rng: &mut NumpyRng) {}

            fn step(&self, (): &mut (), action: &[f32], _rng: &mut NumpyRng) -> Transition {
                let reward: fn(&Self, f64) -> f64 = $reward;
                Transition {
                    reward: reward(self, f64::from(action[0])),
                    terminated: true,
                }
            }

            fn observe(&self, (): &(), obs: &mut [f32]) {
                obs[0] = 1.0;
            }
        }
    };
}

bandit!(Target, unit_action(), |_, action| -(action - BEST_ACTION).powi(2));
bandit!(
    Torque,
    Space::boxed(1, -MAX_TORQUE_NM, MAX_TORQUE_NM),
    |_, torque_nm| { -(torque_nm / f64::from(MAX_TORQUE_NM) - BEST_ACTION).powi(2) }
);
bandit!(Quadratic, unit_action(), |task, action| -task.k * action.powi(2));
bandit!(Flat, unit_action(), |_, _| 0.0);

fn manual(description: &str, action: Row, reward: &str, least: f64) -> Manual {
    Manual {
        description: description.into(),
        observation: vec![Row::new("constant", "1", 1.0, 1.0)],
        action: vec![action],
        reward: reward.into(),
        reward_range: [least, 0.0],
        end: "Terminated after one step.".into(),
        ..Manual::default()
    }
}

fn action() -> Row {
    Row::new("action", "1", -1.0, 1.0)
}

pub(super) fn entries() -> Vec<EnvEntry> {
    vec![
        EnvEntry::new(
            "ProbeTarget-v0",
            "P4: one step, reward -(a - 0.3)²; mode = 0.3",
            || Target,
        )
        .with_manual(manual(
            "One step with the best action at 0.3. With α = 0 the mode of the policy must be 0.3.",
            action(),
            "-(a - 0.3)².",
            -(1.3 * 1.3),
        )),
        EnvEntry::with_options::<Quadratic>("ProbeQuadratic-v0", "P6: one step, reward -k a²; std = √(α / 2k)")
            .with_manual_of(|task: &Quadratic| manual(
                "One step with the best action at 0. With a fixed α the standard deviation of the policy must be √(α / 2k), \
                 which is 0.1 for α = 0.2 and k = 10. Option `k`: curvature of the reward.",
                action(),
                "-k a².",
                -task.k,
            )),
        EnvEntry::new(
            "ProbeFlat-v0",
            "P8: one step, reward 0; entropy = ln 2, learned α → 0",
            || Flat,
        )
        .with_manual(manual(
            "One step without reward. With a learned α the entropy of the policy must be ln 2 per coordinate, and α must fall \
             towards 0.",
            action(),
            "0.",
            0.0,
        )),
        EnvEntry::new(
            "ProbeTorque-v0",
            "P9: P4 in N m, actions in [-2, 2]; normalised mode = 0.3",
            || Torque,
        )
        .with_manual(manual(
            "ProbeTarget-v0 with actions in newton-metres. The best is 0.6 N m, which is 0.3 when normalised. The normalised \
             policy must be that of ProbeTarget-v0.",
            Row::new("torque", "N m", -2.0, 2.0),
            "-(u / 2 - 0.3)².",
            -(1.3 * 1.3),
        )),
    ]
}
