//! The update of Soft Actor-Critic with a learned temperature: [`ReferenceUpdate`].
//!
//! Source: Haarnoja et al. 2018b (arXiv 1812.05905), algorithm 1; equation numbers are that paper's.
//!
//! The order is part of the algorithm, and a golden test pins it:
//!
//! 1. Draw next actions a' ~ π(·|s') from the current policy.
//! 2. Move the critics one step towards their target.
//! 3. Move the policy one step towards a higher soft value, computed with the *new* critics and the α from before this
//!    update.
//! 4. Move the temperature one step, with the log-probabilities of the actions of step 3.
//! 5. Move the target parameters towards the new critics.
//!
//! Steps 1 and 2 belong to the critic ([`crate::critic::Critic::learn`]). Step 3 happens when the policy is due, step 4
//! when the temperature is due, and step 5 when targets are due; the delays count gradient steps. A temperature that is
//! due without the policy learns from actions drawn for it.
//!
//! A policy that enumerates its actions gives the probability of every action instead of a draw, and the expected
//! log-probability. The steps are the same.
//!
//! This is the definition of the update, through autograd. [`crate::fused`] computes the same update faster on a CPU.

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

/// The reference implementation of the update, through autograd.
pub struct ReferenceUpdate;

impl UpdateRule for ReferenceUpdate {
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        let alpha = learner.temperature.alpha(); // []

        // 1 and 2. The policy draws next actions, and the critics step towards their target.
        let step = CriticStep {
            batch,
            policy: &learner.policy,
            alpha: &alpha,
        };
        let mut report = learner.critic.learn(&step, stream);

        // 3. The policy steps towards a higher soft value.
        let mut log_prob = None;
        if due.policy {
            let (loss, of_actions) = policy_step(&mut learner.policy, &learner.critic, batch, &alpha, stream);
            report.put(metrics::ACTOR_LOSS, Reduction::Mean, &loss);
            report.put(metrics::ENTROPY, Reduction::NegativeMean, &of_actions);
            log_prob = Some(of_actions);
        }

        // 4. The temperature steps towards the target entropy.
        if due.temperature && learner.temperature.is_learned() {
            let log_prob = log_prob.unwrap_or_else(|| log_prob_of_draw(&learner.policy, batch, stream));
            if let Some(loss) = learner.temperature.learn(&log_prob) {
                report.put(metrics::ALPHA_LOSS, Reduction::Mean, &loss);
            }
        }

        // 5. The target parameters move towards the learned ones.
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

/// Log-probabilities `[B]` (nats) of actions newly drawn from the policy, without a gradient.
pub(crate) fn log_prob_of_draw(policy: &Policy, batch: &Batch, stream: &mut Stream) -> Tensor {
    let noise = policy.noise(batch.size(), stream);
    policy.draw_frozen(&batch.first_obs(), &noise).log_prob
}

/// Makes one gradient step of the policy on the actor's loss (equation 9) with newly drawn actions. Returns the loss,
/// and the log-probabilities `[B]` of the actions, nats.
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
