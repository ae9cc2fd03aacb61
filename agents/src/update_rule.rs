//! Who makes an update: [`UpdateRule`], and the state that it changes, [`Learner`].

use crate::{
    batch::Batch, critic::LearnedCritic, noise::Stream, policy::Policy, report::UpdateReport, target::TargetSpec,
    temperature::Temperature,
};

/// What belongs to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Steps of policy and temperature.
    pub policy: bool,
    /// Targets follow.
    pub targets: bool,
}

/// Everything that learning changes.
pub struct Learner {
    /// π.
    pub policy: Policy,
    /// Q, and whatever else the critic learns.
    pub critic: LearnedCritic,
    /// α.
    pub temperature: Temperature,
    /// How targets follow.
    pub targets: TargetSpec,
}

impl Learner {
    /// Moves the targets, which are due.
    pub(crate) fn follow(&mut self) {
        self.critic.follow(self.targets);
        self.policy.follow(self.targets);
    }
}

/// One way to make an update. All ways learn the same; they are chosen by what they cover and how fast they are.
pub trait UpdateRule: Send {
    /// One update on a batch whose observations are normalised and augmented, and whose actions are in the critic's
    /// coordinates. It draws from `stream` in the order of the reference, [`crate::soft_actor_critic`].
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport;

    /// What it is, for people: a name, and what it covers.
    fn describe(&self) -> String;

    /// Multiply-adds for one observation and action of the networks whose passes it computes without autograd.
    fn fused_multiply_adds(&self) -> i64 {
        0
    }

    /// The state was replaced, such as by a checkpoint.
    fn reset(&mut self) {}
}
