//! How target parameters follow the learned ones: [`TargetSpec`].

use serde::{Deserialize, Serialize};

use crate::{nn::ParamBlock, schedule::GradSteps, spec_problems::SpecProblems};

/// The rule by which target parameters follow. Default: Polyak averaging with τ = 0.005 (SAC 2018b, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetSpec {
    /// Polyak averaging: θ̄ ← θ̄ + τ(θ − θ̄) whenever targets are due.
    Polyak {
        /// τ, in (0, 1].
        #[serde(default = "default_tau")]
        tau: f64,
    },
    /// Hard updates: θ̄ ← θ once per period.
    Hard {
        /// The period, gradient steps, at least 1.
        every_grad_steps: u64,
    },
    /// No target parameters: targets are computed with the learned ones (Bhatt et al. 2024, CrossQ, arXiv 1902.05605).
    None,
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
    /// Reports values that are out of range.
    pub(crate) fn check(self, p: &mut SpecProblems) {
        match self {
            TargetSpec::Polyak { tau } => {
                let holds = tau > 0.0 && tau <= 1.0;
                p.require(holds, "agent.targets.tau", tau, "above 0 and at most 1");
            }
            TargetSpec::None => {}
            TargetSpec::Hard { every_grad_steps } => {
                let key = "agent.targets.every_grad_steps";
                p.require(every_grad_steps > 0, key, every_grad_steps, "at least 1");
            }
        }
    }

    /// Whether there are target parameters.
    pub fn has_parameters(self) -> bool {
        self != TargetSpec::None
    }

    /// Whether the rule moves target parameters at gradient step `at`, counted from 1.
    pub fn is_due(self, at: GradSteps) -> bool {
        match self {
            TargetSpec::Polyak { .. } => true,
            TargetSpec::None => false,
            TargetSpec::Hard { every_grad_steps } => at.0.is_multiple_of(every_grad_steps),
        }
    }

    /// Moves `target` one step towards `source`. To be called when targets are due.
    pub fn follow(self, target: &mut ParamBlock, source: &ParamBlock) {
        match self {
            TargetSpec::Polyak { tau } => target.move_towards(source, tau),
            TargetSpec::Hard { .. } => target.move_towards(source, 1.0),
            TargetSpec::None => {}
        }
    }
}
