//! THE update: Soft Actor-Critic with a learned temperature.
//!
//! Source: Haarnoja et al. 2018b (arXiv 1812.05905), algorithm 1; equation numbers are that paper's.
//!
//! The order is part of the algorithm, and a golden test pins it:
//!
//! 1. next actions a' ~ π(·|s') are drawn from the policy as it stands;
//! 2. the critics step towards their target;
//! 3. the policy steps towards a higher soft value, as the *new* critics see it, with the α of before this update;
//! 4. the temperature steps, on the log-probabilities of the actions of 3;
//! 5. the targets follow the new critics.
//!
//! 1 and 2 belong to the critic ([`crate::critic::Critic::learn`]). 3 and 4 happen when the policy is due, 5 when targets
//! are due; both delays count gradient steps.
//!
//! Where actions are enumerated, draws are replaced by the probability of every action and log-probabilities by their
//! expectation; the steps are the same.
//!
//! This is the definition, by autograd. [`crate::fused`] computes the same faster on a CPU.

use tch::Tensor;

use crate::{
    batch::Batch,
    critic::{CriticStep, LearnedCritic},
    losses::actor_loss,
    metrics,
    noise::Stream,
    policy::Policy,
    report::{Reduction, UpdateReport},
    update_rule::{Due, Learner, UpdateRule},
};

/// See the module.
pub struct ReferenceUpdate;

impl UpdateRule for ReferenceUpdate {
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        let alpha = learner.temperature.alpha(); // []

        // 1 and 2. Critics move towards their target, which asks the policy what it would do next.
        let step = CriticStep {
            batch,
            policy: &learner.policy,
            alpha: &alpha,
        };
        let mut report = learner.critic.learn(&step, stream);

        if due.policy {
            // 3. The policy moves towards a higher soft value.
            let (loss, log_prob) = policy_step(&mut learner.policy, &learner.critic, batch, &alpha, stream);
            report.put(metrics::ACTOR_LOSS, Reduction::Mean, &loss);
            report.put(metrics::ENTROPY, Reduction::NegativeMean, &log_prob);

            // 4. The temperature follows the entropy.
            if let Some(loss) = learner.temperature.learn(&log_prob) {
                report.put(metrics::ALPHA_LOSS, Reduction::Mean, &loss);
            }
        }

        // 5. Targets trail behind.
        if due.targets {
            learner.follow();
        }

        report.put(metrics::ALPHA, Reduction::Mean, &alpha);
        report
    }

    fn describe(&self) -> String {
        "reference, through autograd".to_string()
    }
}

/// One step of the policy down the actor's loss (equation 9) on fresh actions: the loss, and their log-probabilities
/// `[B]`, nats.
pub(crate) fn policy_step(
    policy: &mut Policy,
    critic: &LearnedCritic,
    batch: &Batch,
    alpha: &Tensor,
    stream: &mut Stream,
) -> (Tensor, Tensor) {
    let obs = batch.first_obs();
    let noise = policy.noise(batch.size(), stream);
    let draw = policy.draw(&obs, &noise);
    let value = critic.actor_value(&obs, &draw, stream); // [B]
    let loss = actor_loss(alpha, &draw.log_prob, &value); // []
    policy.trainable.descend(&loss);
    (loss.detach(), draw.log_prob.detach())
}
