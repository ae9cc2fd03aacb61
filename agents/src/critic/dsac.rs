//! The critic of DSAC, the predecessor of DSAC-T: one normal distribution of the soft return, learned from samples of
//! the target distribution.
//!
//! Source: Duan et al. 2021, "Distributional Soft Actor-Critic: Off-Policy Reinforcement Learning for Addressing Value
//! Estimation Errors" (arXiv 2001.02811; TNNLS 33(11)), as implemented in its authors' reference code `DSAC-v2`, file
//! `dsac_v1.py` ("reference").
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θ, σ_θ | `now.mean`, `now.std` | `[E, B]`, value |
//! | y_z, a sample | `target` | `[B]`, value |
//! | ȳ_z, clipped | `banded` | `[E, B]`, value |
//! | b | `td_bound` | value |
//!
//! The paper has one member. With several members, the target is a sample of the member with the smallest mean, and the
//! actor maximises that mean.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Critic, CriticLoss, CriticStep,
    combination::Combination,
    gaussian::{self, Gaussians},
    objective::ActorObjective,
    statistics::Statistics,
    target_filter::TargetFilterSpec,
    value_function::{FunctionInput, FunctionSpec, ValueFunction},
};
use crate::{
    batch::Batch,
    losses::soft_backup,
    metrics,
    nn::AdamSpec,
    noise::Stream,
    policy::ActionDraw,
    report::{Reduction, UpdateReport},
    spec_problems::SpecProblems,
};

/// Settings of the DSAC critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsacSpec {
    /// E, the number of members, at least 1. Paper: 1.
    pub members: i64,
    /// b, the largest error in the gradient of σ, value. It depends on the scale of the task's rewards. Reference: 20.
    pub td_bound: f64,
    /// Largest distance of a target sample from its mean, standard deviations. Reference: 3.
    pub noise_clamp: f64,
    /// Added to σ² in the gradient of the mean (value²), and to σ³ in the gradient of σ (value³). Reference: 0.1.
    pub bias: f64,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for DsacSpec {
    fn default() -> Self {
        DsacSpec {
            members: 1,
            td_bound: 20.0,
            noise_clamp: 3.0,
            bias: 0.1,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

impl DsacSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        for (name, value) in [
            ("td_bound", self.td_bound),
            ("noise_clamp", self.noise_clamp),
            ("bias", self.bias),
        ] {
            p.require_positive(&format!("agent.critic.{name}"), value);
        }
        self.optimizer.check(p, "agent.critic.optimizer");
    }
}

/// The critic of DSAC.
pub struct DsacCritic {
    spec: DsacSpec,
}

impl DsacCritic {
    /// A critic with the given settings.
    pub fn new(spec: &DsacSpec) -> Self {
        DsacCritic { spec: spec.clone() }
    }
}

/// Losses `[E, B]` with the gradients of −log N(y; Q, σ²), where `bias` is added to the denominators, and the target of
/// σ is clipped to `td_bound` around the mean:
///
/// ```text
/// −sg( (y − Q) / (σ² + bias) ) · Q  −  sg( ((ȳ − Q)² − σ²) / (σ³ + bias) ) · σ
/// ```
fn member_losses(spec: &DsacSpec, now: &Gaussians, target: &Tensor) -> Tensor {
    let (mean, std) = (now.mean.detach(), now.std.detach()); // [E, B]
    let error = target - mean; // [E, B]
    let banded = error.clamp(-spec.td_bound, spec.td_bound);
    let mean_pull = error / (std.square() + spec.bias);
    let std_pull = (banded.square() - std.square()) / (std.pow_tensor_scalar(3) + spec.bias);
    -(mean_pull * &now.mean + std_pull * &now.std)
}

impl Critic for DsacCritic {
    fn functions(&self) -> Vec<FunctionSpec> {
        vec![FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: self.spec.members,
            outputs: gaussian::OUTPUTS,
            optimizer: self.spec.optimizer,
            target: Some("target"),
            target_filter: self.spec.target_filter.clone(),
        }]
    }

    /// y_z `[B]`: a sample of the soft return.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let batch = step.batch;
        let members = Gaussians::of_target(&functions[0].of_target(batch), &batch.next_obs, next.sampled(), stream);
        let sample = members.sample(self.spec.noise_clamp, batch.target_draws(), stream); // [E, B]
        let (_, sample) = members.lowest(&sample); // [B]
        vec![soft_backup(batch, &sample, step.alpha, &next.log_prob)]
    }

    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let (now, target) = (Gaussians::of(out), &targets[0]);
        // Summed over members, which share no parameters, so that each minimises its own loss.
        let loss = batch.mean(&member_losses(&self.spec, &now, target)) * self.spec.members as f64;

        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &now.mean);
        report.put(metrics::Q_STD, Reduction::Std, &now.mean);
        report.put(metrics::SIGMA_MEAN, Reduction::Mean, &now.std);
        let distance = (target - now.mean.detach()).abs();
        let is_clipped = distance.gt(self.spec.td_bound).to_kind(Kind::Float);
        report.put(metrics::TARGET_CLIPPED, Reduction::Mean, &is_clipped);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, target);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| gaussian::mean_distance(&now.mean, target));
        CriticLoss { loss, report }
    }

    fn actor_objective(&self) -> ActorObjective {
        ActorObjective::first(Combination::Min)
    }
}
