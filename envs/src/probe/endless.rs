//! P5, `ProbeEndless-v0` and `ProbeEnding-v0`: reward 1 for ever, and reward 1 for five steps.
//!
//! Both have the same constant observation and episodes of five steps. They differ only in the end of an episode.
//!
//! * Endless is *truncated* by its time limit. Its future continues: Q = 1 + γ Q, so Q = 1/(1 − γ), which is 100 for γ
//!   = 0.99.
//! * Ending is *terminated*. The observation does not show the step, so one Q stands for all five steps, and one in
//!   five has no future: Q = 1 + 0.8 γ Q, so Q = 1/(1 − 0.8 γ), which is 4.81 for γ = 0.99.

use super::spaces::{constant_observation, unit_action};
use crate::manual::Row;
use crate::{Dynamics, EnvEntry, Manual, NumpyRng, Space, Transition};

/// Steps per episode of both tasks.
const STEPS: u64 = 5;

/// P5: never terminates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endless;

/// P5: terminates at the fifth step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending;

impl Dynamics for Endless {
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
            terminated: false,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

impl Dynamics for Ending {
    /// Steps taken.
    type State = u64;

    fn observation_space(&self) -> Space {
        constant_observation()
    }

    fn action_space(&self) -> Space {
        unit_action()
    }

    fn initial(&self, _rng: &mut NumpyRng) -> u64 {
        0
    }

    fn step(&self, steps: &mut u64, _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *steps += 1;
        Transition {
            reward: 1.0,
            terminated: *steps == STEPS,
        }
    }

    fn observe(&self, _steps: &u64, obs: &mut [f32]) {
        obs[0] = 1.0;
    }
}

pub(super) fn entries() -> Vec<EnvEntry> {
    let manual = |description: &str, end: String| Manual {
        description: description.into(),
        observation: vec![Row::new("constant", "1", 1.0, 1.0)],
        action: vec![Row::new("without effect", "1", -1.0, 1.0)],
        reward_range: [1.0, 1.0],
        reward: "1.".into(),
        end,
        ..Manual::default()
    };
    vec![
        EnvEntry::new(
            "ProbeEndless-v0",
            "P5: reward 1 for ever, truncated at 5; Q = 1/(1 - γ)",
            || Endless,
        )
        .with_time_limit(STEPS)
        .with_manual(manual(
            "Reward 1 at every step. Only the time limit ends an episode. Q must be 1/(1 - γ).",
            format!("Truncated after {STEPS} steps. Never terminated."),
        )),
        EnvEntry::new(
            "ProbeEnding-v0",
            "P5: reward 1, terminated at 5; Q = 1/(1 - 0.8 γ)",
            || Ending,
        )
        .with_manual(manual(
            "Reward 1 at every step, and a termination that the observation does not announce. Q must be 1/(1 - 0.8 γ), the \
             fixed point when one transition in five has no future.",
            format!("Terminated after {STEPS} steps."),
        )),
    ]
}
