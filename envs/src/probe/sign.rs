//! P3, `ProbeSign-v0`: one step whose reward is the observation.
//!
//! The observation is +1 or -1 with equal chance, so Q(s, a) = s. A critic that cannot see its observation learns 0.

use serde::{Deserialize, Serialize};

use super::spaces::unit_action;
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// P3: one step whose reward is the observation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sign;

/// The observation, which is also the reward.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shown {
    /// -1.
    Minus,
    /// +1.
    Plus,
}

impl Shown {
    fn value(self) -> f32 {
        match self {
            Shown::Minus => -1.0,
            Shown::Plus => 1.0,
        }
    }
}

impl Dynamics for Sign {
    type State = Shown;

    fn observation_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn action_space(&self) -> Space {
        unit_action()
    }

    fn initial(&self, rng: &mut NumpyRng) -> Shown {
        if rng.integers(2) == 0 {
            Shown::Minus
        } else {
            Shown::Plus
        }
    }

    fn step(&self, shown: &mut Shown, _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: f64::from(shown.value()),
            terminated: true,
        }
    }

    fn observe(&self, shown: &Shown, obs: &mut [f32]) {
        obs[0] = shown.value();
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    vec![
        EnvEntry::new(
            "ProbeSign-v0",
            "P3: one step, reward = observation = ±1; Q = observation",
            || Sign,
        )
        .with_manual(Manual {
            description: "One step whose reward is the observation. Q must be the observation.".into(),
            observation: vec![Row::new("the reward to come", "1", -1.0, 1.0)],
            action: vec![Row::new("without effect", "1", -1.0, 1.0)],
            reward_range: [-1.0, 1.0],
            reward: "The observation.".into(),
            start: "-1 or +1 with equal chance.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
    ]
}
