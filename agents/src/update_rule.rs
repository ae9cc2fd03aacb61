//! Implementations of the update: the trait [`UpdateRule`], and the state that an update changes, [`Learner`].

use tch::Tensor;

use crate::{
    batch::Batch,
    critic::LearnedCritic,
    metrics,
    noise::Stream,
    policy::Policy,
    report::{Reduction, UpdateReport},
    target::TargetSpec,
    temperature::Temperature,
};

/// The delayed steps that an update includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whether the policy makes a step.
    pub policy: bool,
    /// Whether the temperature makes a step.
    pub temperature: bool,
    /// Whether target parameters move.
    pub targets: bool,
}

/// The learned state of an agent.
pub struct Learner {
    /// The policy π.
    pub policy: Policy,
    /// The critic: Q, and any other function that it learns.
    pub critic: LearnedCritic,
    /// The temperature α.
    pub temperature: Temperature,
    /// The rule by which target parameters follow.
    pub targets: TargetSpec,
}

impl Learner {
    /// Makes a step of the policy that explores, if there is a second one. To be called after an update in which the policy
    /// was due.
    pub(crate) fn optimist_step(&mut self, batch: &Batch, stream: &mut Stream, report: &mut UpdateReport) {
        let Learner { policy, critic, .. } = self;
        if !policy.is_optimistic() {
            return;
        }
        let obs = batch.first_obs();
        let noise = policy.noise(batch.size(), stream);
        let value = |action: &Tensor, optimism: &Tensor| critic.optimistic_value(&obs, action, optimism, stream);
        if let Some(step) = policy.optimist_step(&obs, &noise, value) {
            report.put(metrics::OPTIMISM, Reduction::Mean, &step.optimism);
            report.put(metrics::OPTIMISM_KL, Reduction::Mean, &step.kl);
            report.put(metrics::OPTIMISM_KL_WEIGHT, Reduction::Mean, &step.kl_weight);
        }
    }

    /// Moves all target parameters. To be called when targets are due.
    pub(crate) fn follow(&mut self) {
        self.critic.follow(self.targets);
        self.policy.follow(self.targets);
    }
}

/// An implementation of the update. All implementations compute the same update; they differ in speed and in the agents
/// that they support.
pub trait UpdateRule: Send {
    /// Makes one update with a batch whose observations are normalised and augmented, and whose actions are encoded for
    /// the critic. Draws from `stream` in the same order as [`crate::soft_actor_critic::ReferenceUpdate`].
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport;

    /// A description for people to read: the name, and the parts of the agent that it covers.
    fn describe(&self) -> String;

    /// Multiply-adds, for one observation and action, of the networks that it computes without autograd.
    fn fused_multiply_adds(&self) -> i64 {
        0
    }

    /// Is called after the learned state was replaced, for example by a checkpoint.
    fn reset(&mut self) {}
}
