//! Networks that begin anew on a schedule: [`ResetSpec`].
//!
//! An agent that makes many updates per env step overfits to its first transitions. Beginning the networks anew, with the
//! replay kept, undoes that (Nikishin et al. 2022, arXiv 2205.07802, section 4). Mixing new values into the old ones is
//! shrink and perturb (Ash & Adams 2020, arXiv 1910.08475; in RL, D'Oro et al. 2023).

use serde::{Deserialize, Serialize};

use crate::{compute::Compute, noise::Stream, schedule::GradSteps, spec_problems::SpecProblems, update_rule::Learner};

/// When networks begin anew, and which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResetSpec {
    /// Gradient steps from one reset to the next, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_grad_steps: Option<u64>,
    /// The gradient steps after which there is a reset, ascending, in place of `every_grad_steps`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub at_grad_steps: Vec<u64>,
    /// Weight of the new values, above 0 and at most 1: θ ← (1 − share) · θ + share · new.
    pub share: f64,
    /// What begins anew.
    pub of: Vec<ResetPart>,
}

/// A part of an agent that can begin anew: its parameters, its optimiser, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetPart {
    /// The policy. A target policy becomes its copy.
    Policy,
    /// All functions of the critic. Target critics become their copies.
    Critic,
    /// A learned temperature, whose share is always 1.
    Temperature,
}

impl Default for ResetSpec {
    fn default() -> Self {
        ResetSpec {
            every_grad_steps: None,
            at_grad_steps: Vec::new(),
            share: 1.0,
            of: vec![ResetPart::Policy, ResetPart::Critic, ResetPart::Temperature],
        }
    }
}

impl ResetSpec {
    /// Reports values that are out of range.
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let at = &self.at_grad_steps;
        let (every_key, at_key) = ("agent.resets.every_grad_steps", "agent.resets.at_grad_steps");
        match self.every_grad_steps {
            Some(every) => {
                p.require(every > 0, every_key, every, "at least 1");
                let expected = "nothing beside every_grad_steps";
                p.require(at.is_empty(), at_key, format!("{at:?}"), expected);
            }
            None => {
                let is_ascending = at.is_sorted_by(|earlier, later| earlier < later);
                let holds = is_ascending && at.first().is_some_and(|first| *first > 0);
                let expected = "ascending gradient steps from 1, or every_grad_steps in place of it";
                p.require(holds, at_key, format!("{at:?}"), expected);
            }
        }
        let holds = self.share > 0.0 && self.share <= 1.0;
        p.require(holds, "agent.resets.share", self.share, "above 0 and at most 1");
        let names = format!("{:?}", self.of);
        p.require(!self.of.is_empty(), "agent.resets.of", names, "at least one part");
    }

    /// Whether there is a reset after this many gradient steps.
    pub(crate) fn is_due(&self, at: GradSteps) -> bool {
        match self.every_grad_steps {
            Some(every) => at.0.is_multiple_of(every),
            None => self.at_grad_steps.binary_search(&at.0).is_ok(),
        }
    }

    /// Lets the parts begin anew. New values depend on the seed and on the number of gradient steps.
    pub(crate) fn apply(&self, learner: &mut Learner, seed: u64, at: GradSteps, compute: &Compute) {
        for part in &self.of {
            match part {
                ResetPart::Policy => {
                    let mut stream = Stream::derive(seed, "reset.policy", at.0);
                    learner.policy.reset(self.share, &mut stream, compute);
                }
                ResetPart::Critic => {
                    let mut stream = Stream::derive(seed, "reset.critic", at.0);
                    learner.critic.reset(self.share, &mut stream, compute);
                }
                ResetPart::Temperature => learner.temperature.reset(compute),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_due_at_the_listed_steps_or_at_multiples() {
        let due = |spec: &ResetSpec| -> Vec<u64> { (1..=12).filter(|at| spec.is_due(GradSteps(*at))).collect() };
        let every = ResetSpec {
            every_grad_steps: Some(5),
            ..ResetSpec::default()
        };
        let listed = ResetSpec {
            at_grad_steps: vec![2, 7, 40],
            ..ResetSpec::default()
        };
        assert_eq!((due(&every), due(&listed)), (vec![5, 10], vec![2, 7]));
    }
}
