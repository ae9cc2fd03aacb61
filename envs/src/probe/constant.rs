//! P1, `ProbeConstant-v0`: one step, reward 1.
//!
//! The episode ends after the step, so nothing is bootstrapped and Q(s, a) = 1 for every action.

use super::spaces::{constant_observation, unit_action};
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// P1: one step with reward 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Constant;

impl Dynamics for Constant {
    type State = ();

    fn observation_space(&self) -> Space {
        constant_observation()
    }

    fn action_space(&self) -> Space {
        unit_action()
    }

    fn initial(&self, _rng: &mut NumpyRng) {}

    fn step(&self, (): &mut (), _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: 1.0,
            terminated: true,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    vec![
        EnvEntry::new("ProbeConstant-v0", "P1: one step, reward 1; Q = 1", || Constant).with_manual(Manual {
            description: "One step with reward 1 for every action. Q must be 1.".into(),
            observation: vec![Row::new("constant", "1", 1.0, 1.0)],
            action: vec![Row::new("without effect", "1", -1.0, 1.0)],
            reward_range: [1.0, 1.0],
            reward: "1.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
    ]
}
