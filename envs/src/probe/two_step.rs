//! P2, `ProbeTwoStep-v0`: two steps, reward at the end.
//!
//! The observation counts the steps. The second step has the reward 1 and ends the episode, so Q(1, a) = 1. The first
//! has the reward 0, so Q(0, a) = γ.

use super::spaces::unit_action;
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// P2: reward 1 at the second of two steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct TwoStep;

impl Dynamics for TwoStep {
    /// Steps taken, 0 to 2.
    type State = u8;

    fn observation_space(&self) -> Space {
        Space::boxed(1, 0.0, 2.0)
    }

    fn action_space(&self) -> Space {
        unit_action()
    }

    fn initial(&self, _rng: &mut NumpyRng) -> u8 {
        0
    }

    fn step(&self, steps: &mut u8, _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *steps += 1;
        let terminated = *steps == 2;
        Transition {
            reward: f64::from(u8::from(terminated)),
            terminated,
        }
    }

    fn observe(&self, steps: &u8, obs: &mut [f32]) {
        obs[0] = f32::from(*steps);
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    vec![
        EnvEntry::new(
            "ProbeTwoStep-v0",
            "P2: two steps, reward 1 at the end; Q(start) = γ",
            || TwoStep,
        )
        .with_manual(Manual {
            description: "Two steps; only the second has a reward. Q must be γ at the first step and 1 at the second."
                .into(),
            observation: vec![Row::new("steps taken", "1", 0.0, 2.0)],
            action: vec![Row::new("without effect", "1", -1.0, 1.0)],
            reward_range: [0.0, 1.0],
            reward: "0, then 1.".into(),
            end: "Terminated after two steps.".into(),
            ..Manual::default()
        }),
    ]
}
