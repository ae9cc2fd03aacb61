//! D1 to D3: discrete actions, whose soft-optimal policy is a softmax of values known on paper.
//!
//! * `ProbeChoice-v0` (D1): one step, one of three, r = (0, 0.3, -0.2). Q = r, and π = softmax(r / α).
//! * `ProbeFork-v0` (D2): two steps. The first choice pays nothing and decides where the second is made: at the *left*
//!   the choices pay 1 and 0, at the *right* both pay 0.6. The soft value of a place is V = α ln Σ_a exp(r_a / α), and
//!   Q(start, a) = γ V. For α = 0.5 the left is worth 1.0635 and the right 0.9466, of which 0.3466 is entropy: a backup
//!   without the next action's entropy would give 0.8808 and 0.6 under the same policy.
//! * `ProbePair-v0` (D3): one step, a pair of one of two and one of three, r = (0, 0.5)_i + (0, 0.25, -0.25)_j. Sums of
//!   rewards are products of probabilities, so that π(i, j) = softmax_i · softmax_j, whether pairs are enumerated or not.

use serde::{Deserialize, Serialize};

use super::spaces::constant_observation;
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// D1: one step, one of three.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice;

/// D2: the first of two choices decides about the second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork;

/// D3: one step, a pair.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair;

impl Choice {
    /// Of each action.
    pub const REWARDS: [f64; 3] = [0.0, 0.3, -0.2];
}

impl Fork {
    /// Of each action at the left.
    pub const LEFT_REWARDS: [f64; 2] = [1.0, 0.0];
    /// Of each action at the right.
    pub const RIGHT_REWARDS: [f64; 2] = [0.6, 0.6];
}

impl Pair {
    /// Of the first half of each pair.
    pub const FIRST_REWARDS: [f64; 2] = [0.0, 0.5];
    /// Of the second half.
    pub const SECOND_REWARDS: [f64; 3] = [0.0, 0.25, -0.25];
}

/// Where [`Fork`] is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// Before the first choice.
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
            "D1: one step, one of three; policy = softmax(reward / α)",
            || Choice,
        )
        .with_manual(Manual {
            description: "One step with a choice of three. Q must come out as the reward of each action, and with a fixed α \
                          the policy as softmax(reward / α)."
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
            "D2: two choices; Q(start) = γ α ln Σ exp(reward / α) of where it leads",
            || Fork,
        )
        .with_manual(Manual {
            description: "Two choices, the first of which decides where the second is made. At the left one action pays 1 \
                          and the other nothing; at the right both pay 0.6. With a fixed α the value of the start's actions \
                          must come out as γ α ln Σ exp(reward / α), entropy included."
                .into(),
            observation: vec![Row::new("place: start 0, left -1, right 1", "1", -1.0, 1.0)],
            action: vec![Row::new("0: left, 1: right; then 0 or 1", "1", 0.0, 1.0)],
            reward_range: [0.0, 1.0],
            reward: "0 at the start; then 1 or 0 at the left, 0.6 at the right.".into(),
            end: "Terminated after two steps.".into(),
            ..Manual::default()
        }),
        EnvEntry::new(
            "ProbePair-v0",
            "D3: one step, a pair of choices; policy = product of two softmaxes",
            || Pair,
        )
        .with_manual(Manual {
            description: "One step with a pair of choices whose rewards add up. With a fixed α the policy must come out as \
                          the product of softmax(reward / α) over both, whether pairs are enumerated or not."
                .into(),
            observation: constant(),
            action: vec![
                Row::new("first choice: 0 or 1", "1", 0.0, 1.0),
                Row::new("second choice: 0, 1 or 2", "1", 0.0, 2.0),
            ],
            reward_range: [-0.25, 0.75],
            reward: "0 or 0.5, plus 0, 0.25 or -0.25.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
    ]
}
