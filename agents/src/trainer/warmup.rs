//! Random actions before learning begins: [`Warmup`].

use std::ops::Range;

use sac_envs::Space;
use serde::{Deserialize, Serialize};

use crate::noise::Stream;

/// Random actions, each held for a number of env steps.
pub(super) struct Warmup {
    hold_env_steps: u64,
    state: HeldActions,
}

/// The action held in each environment, and for how long still.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldActions {
    held: Vec<f32>,
    left_env_steps: Vec<u64>,
}

impl Warmup {
    pub(super) fn new(num_envs: usize, action_width: usize, hold_env_steps: u64) -> Self {
        Warmup {
            hold_env_steps,
            state: HeldActions {
                held: vec![0.0; num_envs * action_width],
                left_env_steps: vec![0; num_envs],
            },
        }
    }

    /// Writes the actions of a group of environments to `actions` `[group.len(), A]`.
    pub(super) fn act(&mut self, group: Range<usize>, space: &Space, stream: &mut Stream, actions: &mut [f32]) {
        let width = space.len();
        let HeldActions { held, left_env_steps } = &mut self.state;
        for env in group.clone() {
            if left_env_steps[env] == 0 {
                space.sample(stream.rng(), &mut held[env * width..(env + 1) * width]);
                left_env_steps[env] = self.hold_env_steps;
            }
            left_env_steps[env] -= 1;
        }
        actions.copy_from_slice(&held[group.start * width..group.end * width]);
    }

    /// Lets the next episode of an environment begin with a new action.
    pub(super) fn episode_ended(&mut self, env: usize) {
        self.state.left_env_steps[env] = 0;
    }

    /// What a checkpoint holds of it.
    pub(super) fn state(&self) -> &HeldActions {
        &self.state
    }

    /// Whether every held action is one of the action space.
    pub(super) fn holds_actions_of(&self, space: &Space) -> bool {
        let mut held = self.state.held.chunks_exact(space.len().max(1));
        held.all(|action| space.contains(action))
    }

    /// Takes the state of a checkpoint; `false` if it belongs to another number of environments or actions.
    pub(super) fn restore(&mut self, state: HeldActions) -> bool {
        let lengths = |state: &HeldActions| (state.held.len(), state.left_env_steps.len());
        let fits = lengths(&state) == lengths(&self.state);
        if fits {
            self.state = state;
        }
        fits
    }
}
