//! How target parameters follow the learned ones: [`TargetSpec`].

use serde::{Deserialize, Serialize};

use crate::{nn::ParamBlock, schedule::GradSteps};

/// The rule. Default: Polyak averaging with τ = 0.005 (SAC 2018b, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetSpec {
    /// θ̄ ← θ̄ + τ(θ − θ̄) whenever targets are due.
    Polyak {
        /// In (0, 1].
        #[serde(default = "default_tau")]
        tau: f64,
    },
    /// θ̄ ← θ every so many gradient steps.
    Hard {
        /// At least 1.
        every_grad_steps: u64,
    },
}

fn default_tau() -> f64 {
    0.005
}

impl Default for TargetSpec {
    fn default() -> Self {
        TargetSpec::Polyak { tau: default_tau() }
    }
}

impl TargetSpec {
    /// Moves `target` one step after `source`. `at` counts the gradient steps taken, this one included.
    pub fn follow(self, target: &mut ParamBlock, source: &ParamBlock, at: GradSteps) {
        match self {
            TargetSpec::Polyak { tau } => target.move_towards(source, tau),
            TargetSpec::Hard { every_grad_steps } if at.0.is_multiple_of(every_grad_steps) => {
                target.move_towards(source, 1.0);
            }
            TargetSpec::Hard { .. } => {}
        }
    }
}
