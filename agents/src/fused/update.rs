//! The update with all fused forms that an agent has: [`FusedUpdate`].

use sac_kernels::bfloat16::Bfloat16;
use tch::Tensor;

use super::{
    acting::Acting,
    actor::FusedActor,
    categorical, dsac_t,
    layers::Layers,
    plan::{FusedCritic, Plan},
    quantile,
    scalar::{self, Rows},
    temperature,
};
use crate::{
    batch::Batch,
    compute::Compute,
    critic::{CriticStep, LearnedCritic, scalar::TargetMembers},
    metrics,
    noise::Stream,
    policy::{ActionKind, Policy, PolicyEncoder},
    report::{MetricValue, Reduction, UpdateReport},
    slices::as_slice,
    soft_actor_critic::{log_prob_of_draw, policy_step},
    update_rule::{Due, Learner, UpdateRule},
};

/// The update of [`crate::soft_actor_critic`] on a CPU. The table in [`crate::fused`] lists which parts are fused.
pub struct FusedUpdate {
    critic: Option<(FusedCritic, Layers)>,
    actor: Option<FusedActor>,
    multiply_adds: i64,
    covers: Vec<&'static str>,
}

/// The policy's layers, if they hold all its parameters, so that the fused backward pass computes the whole gradient.
fn policy_layers(policy: &Policy, compute: &Compute, rounding: Option<Bfloat16>) -> Option<Layers> {
    let layers = Layers::of(&*policy.body, compute, rounding)?;
    layers.covers(policy.trainable.params.frozen()).then_some(layers)
}

/// The action value's layers, if they hold all its parameters and actions are vectors.
fn critic_layers(learner: &Learner, compute: &Compute, rounding: Option<Bfloat16>) -> Option<Layers> {
    let q = learner.critic.q();
    let layers = Layers::of(q.network.body(), compute, rounding)?;
    let is_vector = matches!(learner.policy.actions(), ActionKind::Vector { .. });
    (is_vector && layers.covers(q.online.params.frozen())).then_some(layers)
}

/// Acting without libtorch; `None` if the policy does not support it.
pub(crate) fn acting(plan: &Plan, policy: &Policy, action_dim: usize, compute: &Compute) -> Option<Acting> {
    let reads_obs = matches!(&policy.encoder, PolicyEncoder::Own(encoder) if encoder.is_identity());
    let Layers::Dense(dense) = policy_layers(policy, compute, None)? else {
        return None;
    };
    (compute.is_fused() && reads_obs).then_some(Acting {
        dense,
        bounds: plan.bounds?,
        action_dim,
    })
}

impl FusedUpdate {
    /// A fused update for `learner`. `plan` must belong to its critic and policy head.
    pub(crate) fn new(plan: Plan, learner: &Learner, compute: &Compute, rounding: Option<Bfloat16>) -> Self {
        let policy = policy_layers(&learner.policy, compute, rounding);
        let critic = critic_layers(learner, compute, rounding);
        let mut covers = vec!["temperature"];
        let mut multiply_adds = 0;
        if policy.is_some() {
            covers.push("policy network");
            multiply_adds += learner.policy.multiply_adds().1;
        }
        for function in &learner.critic.functions {
            let layers = Layers::of(function.network.body(), compute, rounding);
            if layers.is_some_and(|layers| layers.covers(function.online.params.frozen())) {
                multiply_adds += function.network.multiply_adds();
            }
        }
        if critic.is_some() {
            covers.push("critic networks");
        }
        if plan.bounds.is_some() {
            covers.push("policy head");
        }
        let actor = match (policy, &critic, plan.bounds) {
            (Some(policy), Some(critic), Some(bounds)) => Some(FusedActor {
                policy,
                critic: critic.clone(),
                bounds,
            }),
            _ => None,
        };
        let critic = plan.critic.zip(critic);
        if actor.is_some() {
            covers.push("actor's loss");
        }
        if critic.is_some() {
            covers.push("critic's loss");
        }
        FusedUpdate {
            critic,
            actor,
            multiply_adds,
            covers,
        }
    }

    /// Makes one step of the critic.
    fn critic_step(&self, critic: &mut LearnedCritic, step: &CriticStep, stream: &mut Stream) -> UpdateReport {
        let Some((form, layers)) = &self.critic else {
            return critic.learn(step, stream);
        };
        let next = step.policy.draw_next(step.batch, stream);
        let rows = Rows {
            batch: step.batch,
            next: &next,
        };
        let targets = match form {
            FusedCritic::Scalar(TargetMembers::All) if scalar::can_share_pass(layers, critic.q()) => {
                return scalar::learn_in_one_pass(layers, critic, rows, step.alpha, stream);
            }
            FusedCritic::Quantile(spec) => vec![quantile::targets(spec, critic, step, &next, stream)],
            _ => critic.targets(step, &next, stream),
        };
        match form {
            FusedCritic::Scalar(_) => scalar::learn(layers, critic, rows, &targets[0], stream),
            FusedCritic::DsacT(spec, rate) => dsac_t::learn((spec, *rate), layers, critic, rows, &targets, stream),
            FusedCritic::Categorical(support) => categorical::learn(*support, layers, critic, rows, &targets, stream),
            FusedCritic::Quantile(spec) => quantile::learn(spec, layers, critic, rows, &targets[0], stream),
        }
    }

    /// Makes one step of the policy. Returns the loss, and the log-probabilities `[B]`.
    fn policy_step(
        &self,
        learner: &mut Learner,
        batch: &Batch,
        alpha: &Tensor,
        stream: &mut Stream,
    ) -> (MetricValue, Tensor) {
        let Learner { policy, critic, .. } = learner;
        match &self.actor {
            Some(actor) => actor.learn(policy, critic, &batch.first_obs(), as_slice(alpha)[0], stream),
            None => {
                let (loss, log_prob) = policy_step(policy, critic, batch, alpha, stream);
                ((&loss).into(), log_prob)
            }
        }
    }
}

impl UpdateRule for FusedUpdate {
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        let alpha = temperature::alpha(&learner.temperature); // []
        let step = CriticStep {
            batch,
            policy: &learner.policy,
            alpha: &alpha,
        };
        let mut report = self.critic_step(&mut learner.critic, &step, stream);
        let mut log_prob = None;
        if due.policy {
            let (loss, of_actions) = self.policy_step(learner, batch, &alpha, stream);
            report.put(metrics::ACTOR_LOSS, Reduction::Mean, loss);
            report.put(metrics::ENTROPY, Reduction::NegativeMean, &of_actions);
            log_prob = Some(of_actions);
        }
        if due.temperature && learner.temperature.is_learned() {
            let log_prob = log_prob.unwrap_or_else(|| log_prob_of_draw(&learner.policy, batch, stream));
            if let Some(loss) = temperature::learn(&mut learner.temperature, &log_prob) {
                report.put(metrics::ALPHA_LOSS, Reduction::Mean, loss);
            }
        }
        if due.targets {
            learner.follow();
        }
        report.put(metrics::ALPHA, Reduction::Mean, &alpha);
        report
    }

    fn describe(&self) -> String {
        format!("fused: {}", self.covers.join(", "))
    }

    fn fused_multiply_adds(&self) -> i64 {
        self.multiply_adds
    }
}
