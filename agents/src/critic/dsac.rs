//! The critic of DSAC, before DSAC-T: one normal distribution of the soft return, learned from samples of its target.
//!
//! Source: Duan et al. 2021, "Distributional Soft Actor-Critic: Off-Policy Reinforcement Learning for Addressing Value
//! Estimation Errors" (arXiv 2001.02811; TNNLS 33(11)), as in the reference code of its authors, `DSAC-v2`, file
//! `dsac_v1.py` ("reference").
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θ, σ_θ | `now.mean`, `now.std` | `[E, B]`, value |
//! | y_z, a sample | `target` | `[B]`, value |
//! | ȳ_z, clipped | `banded` | `[E, B]`, value |
//! | b | `td_bound` | value |
//!
//! With several members the target is a sample of the one with the smallest mean, and the actor climbs that mean; the
//! paper has one.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Climbed, Combination, Critic, CriticContext, Network, TargetFilter, TargetFilterSpec,
    gaussian::{self, Gaussians},
};
use crate::{
    agent::{Reduction, UpdateReport},
    backup::soft_backup,
    batch::Batch,
    checkpoint::Section,
    error::Result,
    metrics,
    nn::{AdamSpec, ParamBlock, ParamLayout, Products, Trainable},
    noise::Stream,
    policy::{ActionDraw, Policy},
    schedule::GradSteps,
    spec_check::{SpecProblems, check_adam},
    target::TargetSpec,
};

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsacSpec {
    /// E, at least 1. Paper: 1.
    pub members: i64,
    /// b: how far from the mean the spread's target may lie, value. Has to fit the task's rewards. Reference: 20.
    pub td_bound: f64,
    /// Standard deviations that a sample of the target may lie from its mean. Reference: 3.
    pub noise_clamp: f64,
    /// Added to σ² in the mean's gradient (value²), and to σ³ in the spread's (value³). Reference: 0.1.
    pub bias: f64,
    /// Of all members together.
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
            let key = format!("agent.critic.{name}");
            p.require(value > 0.0 && value.is_finite(), &key, value, "finite and above 0");
        }
        check_adam(p, "agent.critic.optimizer", &self.optimizer);
    }
}

/// See the module.
pub struct DsacCritic {
    network: Network,
    filter: Option<TargetFilter>,
    spec: DsacSpec,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// What trails behind.
    pub target: ParamBlock,
}

impl DsacCritic {
    /// Puts the critic together; targets start equal to the members.
    pub fn build(spec: &DsacSpec, context: &CriticContext, init: &mut Stream) -> Self {
        let mut layout = ParamLayout::default();
        let network = Network::of_actions(context, gaussian::OUTPUTS, spec.members, &mut layout);
        let online = Trainable::new(layout, spec.optimizer, init, context.device);
        let target = online.params.detached_copy();
        DsacCritic {
            network,
            filter: TargetFilter::of(spec.target_filter.as_ref(), context),
            spec: spec.clone(),
            online,
            target,
        }
    }

    /// Mean and spread of every member at `action` `[B, A]`, without a history: for those who look inside.
    pub fn members(&self, obs: &Tensor, action: &Tensor, noise: &mut Stream) -> Gaussians {
        Gaussians::at(&self.network, self.online.params.frozen(), obs, action, noise)
    }

    /// Mean and spread of the targets at the next actions `[B, A]`, filtered if there is a filter.
    fn target_members(&self, next_obs: &Tensor, next_action: &Tensor, noise: &mut Stream) -> Gaussians {
        let (params, filter) = (self.target.frozen(), self.filter.as_ref());
        Gaussians::filtered(&self.network, params, filter, next_obs, next_action, noise)
    }

    /// A sample `[B]` of the soft return from here on.
    fn sampled_target(&self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> Tensor {
        let _guard = tch::no_grad_guard();
        let members = self.target_members(&batch.next_obs, next.sampled(), noise);
        let sample = members.sample(self.spec.noise_clamp, batch.target_draws(), noise); // [E, B]
        let (_, sample) = members.lowest(&sample); // [B]
        soft_backup(batch, &sample, alpha, &next.log_prob)
    }
}

/// Losses `[E, B]` whose gradients are those of −log N(y; Q, σ²), with `bias` in the denominators and the spread's
/// target within `td_bound` of the mean:
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
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        let next = policy.draw_next(batch, noise);
        let target = self.sampled_target(batch, &next, alpha, noise); // [B]
        let params = self.online.views();
        let now = Gaussians::at(&self.network, &params, &batch.obs, &batch.action, noise);
        // Summed over members: each is an optimisation of its own and only shares a block.
        let loss = batch.mean(&member_losses(&self.spec, &now, &target)) * self.spec.members as f64;
        self.online.descend(&loss);

        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &now.mean);
        report.put(metrics::Q_STD, Reduction::Std, &now.mean);
        report.put(metrics::SIGMA_MEAN, Reduction::Mean, &now.std);
        let distance = (&target - now.mean.detach()).abs();
        let is_clipped = distance.gt(self.spec.td_bound).to_kind(Kind::Float);
        report.put(metrics::TARGET_CLIPPED, Reduction::Mean, &is_clipped);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| gaussian::mean_distance(&now.mean, &target));
        report
    }

    fn climbed(&self) -> Climbed<'_> {
        Climbed {
            network: &self.network,
            params: self.online.params.frozen(),
            combination: Combination::Min,
            count: 1,
        }
    }

    fn follow(&mut self, rule: TargetSpec) {
        rule.follow(&mut self.target, &self.online.params);
    }

    fn anneal(&mut self, at: GradSteps) {
        if let Some(filter) = &mut self.filter {
            filter.anneal(at);
        }
    }

    fn count_on_device(&mut self) {
        self.online.count_on_device();
    }

    fn set_products(&mut self, products: Products) {
        self.network.set_products(products);
    }

    fn is_finite(&self) -> bool {
        self.online.params.is_finite()
    }

    fn parameter_count(&self) -> i64 {
        self.online.params.flat().numel() as i64
    }

    fn multiply_adds(&self) -> i64 {
        self.network.multiply_adds()
    }

    fn encoder_block(&self) -> &ParamBlock {
        &self.online.params
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
    }

    fn section(&self) -> Result<Section<'static>> {
        let mut section = Section::new("critic");
        self.online.save("critic", &mut section);
        self.target.save("target", &mut section);
        Ok(section)
    }

    fn load(&mut self, section: &Section) -> Result<()> {
        self.online.load("critic", section)?;
        self.target.load("target", section)
    }
}
