//! P7, `ProbeNoisy-v0`: one step, reward drawn from N(1, 0.5²).
//!
//! The return is the reward. A Gaussian critic must learn the mean 1 and the standard deviation 0.5; a quantile critic
//! must learn the quantiles 1 + 0.5 Φ⁻¹(τ).

use super::spaces::{constant_observation, unit_action};
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// P7: one step with a normal reward.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noisy;

const MEAN: f64 = 1.0;
const STD: f64 = 0.5;

impl Dynamics for Noisy {
    type State = ();

    fn observation_space(&self) -> Space {
        constant_observation()
    }

    fn action_space(&self) -> Space {
        unit_action()
    }

    fn initial(&self, _rng: &mut NumpyRng) {}

    fn step(&self, (): &mut (), _action: &[f32], rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: MEAN + STD * rng.standard_normal(),
            terminated: true,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    vec![
        EnvEntry::new(
            "ProbeNoisy-v0",
            "P7: one step, reward ~ N(1, 0.5²); returns have the same distribution",
            || Noisy,
        )
        .with_manual(Manual {
            description: "One step with a normally distributed reward. A distributional critic must learn that \
                distribution."
                .into(),
            observation: vec![Row::new("constant", "1", 1.0, 1.0)],
            action: vec![Row::new("without effect", "1", -1.0, 1.0)],
            reward: "Normally distributed with mean 1 and standard deviation 0.5.".into(),
            end: "Terminated after one step.".into(),
            ..Manual::default()
        }),
    ]
}
