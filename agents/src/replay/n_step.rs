//! N-step returns, computed when steps are inserted: [`NStep`].
//!
//! A row that starts at step t and spans k steps has the reward `Σ_{i<k} γⁱ r_{t+i}`, the discount `γᵏ` (0 after
//! termination) and the observation after step t+k−1. k = n except at the end of an episode: each of the last steps
//! gets a row with a smaller k, which after a truncation bootstraps from the true last observation.
//!
//! The entropies h of the policy in between, `Σ_{0<i<k} γⁱ h_{t+i}`, are summed beside the rewards: the soft return has α
//! of them, and α changes while a row is kept.

use std::collections::VecDeque;

use sac_envs::Status;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A step whose row is not complete yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    obs: Vec<f32>,
    action: Vec<f32>,
    reward: f64,
    /// Of the policy at `obs`, nats; 0 where returns are not soft.
    #[serde(default, skip_serializing_if = "is_zero")]
    entropy: f64,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// A row that is complete but for its successor.
pub(super) struct Folded<'a> {
    pub(super) obs: &'a [f32],
    pub(super) action: &'a [f32],
    /// Discounted sum of the rewards.
    pub(super) reward: f64,
    /// Discounted sum of the entropies of all steps but the first, nats.
    pub(super) entropy: f64,
    /// γᵏ, or 0 after a termination.
    pub(super) discount: f64,
}

/// The window of the last steps of one environment, which are not rows yet.
pub(super) struct NStep {
    n: usize,
    gamma: f64,
    widths: (usize, usize),
    pending: VecDeque<Pending>,
    spare: Vec<Pending>,
}

/// The state of a window in a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct NStepState(Vec<Pending>);

impl NStep {
    pub(super) fn new(n: usize, gamma: f64, obs_width: usize, action_width: usize) -> Self {
        let blank = || Pending {
            obs: vec![0.0; obs_width],
            action: vec![0.0; action_width],
            reward: 0.0,
            entropy: 0.0,
        };
        NStep {
            n,
            gamma,
            widths: (obs_width, action_width),
            pending: VecDeque::with_capacity(n),
            spare: (0..n).map(|_| blank()).collect(),
        }
    }

    /// Adds a step with the entropy of the policy there, and calls `emit` for every row that it completes, oldest first.
    /// The successor of these rows is that of the step.
    pub(super) fn push(
        &mut self,
        obs: &[f32],
        action: &[f32],
        (reward, entropy): (f64, f64),
        status: Status,
        mut emit: impl FnMut(Folded),
    ) {
        let mut step = self
            .spare
            .pop()
            .expect("fewer than n steps are pending: a full window emits a row");
        step.obs.copy_from_slice(obs);
        step.action.copy_from_slice(action);
        (step.reward, step.entropy) = (reward, entropy);
        self.pending.push_back(step);
        while !self.pending.is_empty() && (self.pending.len() == self.n || status.is_over()) {
            let steps = || self.pending.iter().rev();
            let reward = steps().fold(0.0, |sum, step| step.reward + self.gamma * sum);
            let after_first = steps().take(self.pending.len() - 1);
            let entropy = self.gamma * after_first.fold(0.0, |sum, step| step.entropy + self.gamma * sum);
            let discount = match status {
                Status::Terminated => 0.0,
                Status::Running | Status::Truncated => self.gamma.powi(self.pending.len() as i32),
            };
            if let Some(first) = self.pending.pop_front() {
                emit(Folded {
                    obs: &first.obs,
                    action: &first.action,
                    reward,
                    entropy,
                    discount,
                });
                self.spare.push(first);
            }
        }
    }

    pub(super) fn abandon(&mut self) {
        self.spare.extend(self.pending.drain(..));
    }

    pub(super) fn state(&self) -> NStepState {
        NStepState(self.pending.iter().cloned().collect())
    }

    pub(super) fn restore(&mut self, state: &NStepState) -> Result<()> {
        let fits = |step: &Pending| (step.obs.len(), step.action.len()) == self.widths;
        if state.0.len() >= self.n.max(1) || !state.0.iter().all(fits) {
            return Err(Error::section("replay", "an n-step window does not fit"));
        }
        self.abandon();
        for step in &state.0 {
            self.spare.pop();
            self.pending.push_back(step.clone());
        }
        Ok(())
    }
}
