//! D1 to D3: discrete actions. The soft-optimal policy is a softmax of known values.
//!
//! * `ProbeChoice-v0` (D1): one step with three actions, r = (0, 0.3, -0.2). Q = r, and π = softmax(r / α).
//! * `ProbeFork-v0` (D2): two steps. The first action has no reward and leads to one of two places. On the *left* the
//!   rewards of the second action are 1 and 0; on the *right* both are 0.6. The soft value of a place is V = α ln Σ_a
//!   exp(r_a / α), and Q(start, a) = γ V. For α = 0.5, V is 1.0635 on the left and 0.9466 on the right (of which 0.3466
//!   is entropy). A backup without the entropy of the next action would give 0.8808 and 0.6 under the same policy.
//! * `ProbePair-v0` (D3): one step with a pair of actions, one of two and one of three, r = (0, 0.5)_i + (0, 0.25,
//!   -0.25)_j. The reward is a sum, so the policy is a product: π(i, j) = softmax_i · softmax_j, whether pairs are
//!   enumerated or not.

use serde::{Deserialize, Serialize};

use super::spaces::constant_observation;
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// D1: one step with three actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice;

/// D2: two steps; the first action determines the rewards of the second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork;

/// D3: one step with a pair of actions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair;

impl Choice {
    /// Reward of each action.
    pub const REWARDS: [f64; 3] = [0.0, 0.3, -0.2];
}

impl Fork {
    /// Reward of each action on the left.
    pub const LEFT_REWARDS: [f64; 2] = [1.0, 0.0];
    /// Reward of each action on the right.
    pub const RIGHT_REWARDS: [f64; 2] = [0.6, 0.6];
}

impl Pair {
    /// Part of the reward for the first action of a pair.
    pub const FIRST_REWARDS: [f64; 2] = [0.0, 0.5];
    /// Part of the reward for the second action of a pair.
    pub const SECOND_REWARDS: [f64; 3] = [0.0, 0.25, -0.25];
}

/// State of [`Fork`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// Before the first action.
    Start,
    /// After action 0.
    Left,
    /// After action 1.
    Right,
}

impl Dynamics for Choice {
    type State = ();

    fn observation_space(&self) -> Space {
        constant_observation()
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: Self::REWARDS.len() }
    }

    fn initial(&self, _rng: &mut NumpyRng) {}

    fn step(&self, (): &mut (), action: &[f32], _rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: Self::REWARDS[action[0] as usize],
            terminated: true,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

impl Dynamics for Fork {
    type State = Place;

    fn observation_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2 }
    }

    fn initial(&self, _rng: &mut NumpyRng) -> Place {
        Place::Start
    }

    fn step(&self, place: &mut Place, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let choice = action[0] as usize;
        let (reward, terminated) = match place {
            Place::Start => {
                *place = if choice == 0 { Place::Left } else { Place::Right };
                (0.0, false)
            }
            Place::Left => (Self::LEFT_REWARDS[choice], true),
            Place::Right => (Self::RIGHT_REWARDS[choice], true),
        };
        Transition { reward, terminated }
    }

    fn observe(&self, place: &Place, obs: &mut [f32]) {
        obs[0] = match place {
            Place::Start => 0.0,
            Place::Left => -1.0,
            Place::Right => 1.0,
        };
    }
}

impl Dynamics for Pair {
    type State = ();

    fn observation_space(&self) -> Space {
        constant_observation()
    }

    fn action_space(&self) -> Space {
        Space::MultiDiscrete {
            n: vec![Self::FIRST_REWARDS.len(), Self::SECOND_REWARDS.len()],
        }
    }

    fn initial(&self, _rng: &mut NumpyRng) {}

    fn step(&self, (): &mut (), action: &[f32], _rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: Self::FIRST_REWARDS[action[0] as usize] + Self::SECOND_REWARDS[action[1] as usize],
            terminated: true,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    let constant = || vec![Row::new("constant", "1", 1.0, 1.0)];
    vec![
        EnvEntry::new(
            "ProbeChoice-v0",
            "D1: one step, three actions; policy = softmax(reward / α)",
            || Choice,
        )
        .with_manual(Manual {
            description: "One step with three actions. Q must be the reward of each action, and with a fixed α the policy must \
                          be softmax(reward / α)."
                .into(),
            observation: constant(),
            action: vec![Row::new("0, 1 or 2", "1", 0.0, 2.0)],
            reward_range: [-0.2, 0.3],
            reward: "0, 0.3 or -0.2.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
        EnvEntry::new(
            "ProbeFork-v0",
            "D2: two steps; Q(start) = γ α ln Σ exp(reward / α) of the second step",
            || Fork,
        )
        .with_manual(Manual {
            description: "Two steps. The first action leads to the left or to the right. On the left, one action has the \
                          reward 1 and the other 0; on the right both have 0.6. With a fixed α the value of the first actions \
                          must be γ α ln Σ exp(reward / α), which includes the entropy."
                .into(),
            observation: vec![Row::new("place: start 0, left -1, right 1", "1", -1.0, 1.0)],
            action: vec![Row::new("0: left, 1: right; then 0 or 1", "1", 0.0, 1.0)],
            reward_range: [0.0, 1.0],
            reward: "0 at the first step; then 1 or 0 on the left, 0.6 on the right.".into(),
            end: "Terminated after two steps.".into(),
            ..Manual::default()
        }),
        EnvEntry::new(
            "ProbePair-v0",
            "D3: one step, a pair of actions; policy = product of two softmaxes",
            || Pair,
        )
        .with_manual(Manual {
            description: "One step with a pair of actions. The reward is the sum of a part for each. With a fixed α the policy \
                          must be the product of softmax(reward / α) over both, whether pairs are enumerated or not."
                .into(),
            observation: constant(),
            action: vec![
                Row::new("first action: 0 or 1", "1", 0.0, 1.0),
                Row::new("second action: 0, 1 or 2", "1", 0.0, 2.0),
            ],
            reward_range: [-0.25, 0.75],
            reward: "0 or 0.5, plus 0, 0.25 or -0.25.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
    ]
}
