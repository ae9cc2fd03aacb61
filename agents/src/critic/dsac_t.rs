//! The critic of DSAC-T: two normal distributions of the soft return, `Z(s, a) ~ N(Q(s, a), σ(s, a)²)`.
//!
//! Source: Duan et al., "Distributional Soft Actor-Critic with Three Refinements" (arXiv 2310.05858; TPAMI 47(5), 2025),
//! and its reference code `DSAC-v2`, file `dsac_v2.py`, of July 2025 ("reference"). Equation numbers are the paper's, as
//! a third party quotes them.
//!
//! * *Expected-value substitution*: the mean learns from the target's mean, the spread from a sample of it.
//! * *Twin value distributions*: mean and sample of the target come from the one member whose mean is smaller; the actor
//!   climbs the smaller mean.
//! * *Variance-based gradient adjustment*: the sampled target stays within ξ running standard deviations of the mean, and
//!   each row's gradient is scaled by the running variance over its own.
//!
//! | Line of the algorithm | Here |
//! |---|---|
//! | a' and log π(a'\|s') | [`Policy::draw_next`] |
//! | smaller mean, and the same member's sample (eqs 19, 20) | `DsacTCritic::next_value` |
//! | y_q, y_z (eq 18) | `DsacTCritic::targets` |
//! | moving averages (eqs 25–27) | [`follow_spread`] |
//! | ξ-sigma clip (eq 23) | [`clip_to_band`] |
//! | gradient of the critics (eqs 22–24) | [`member_losses`] |
//! | actor, temperature | [`crate::soft_actor_critic`] |
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi, σ_θi | `now.mean`, `now.std` | `[E, B]`, value |
//! | y_q | `target_mean` | `[B]`, value |
//! | y_z | `target_sample` | `[B]`, value |
//! | ȳ_z, clipped | `banded` | `[E, B]`, value |
//! | b / ξ, running E\[σ\] | `running_std` | `[E, R]`, value |
//! | ω / (σ² + ε), clamped | `grad_weight` | `[E, B]`, – |
//! | ξ | `clip_sigmas` | – |
//! | ε_ω | `variance_bias` | value² |
//! | ε | `std_bias` | value |
//! | τ_b | `running_std_rate` | per gradient step |

mod by_hand;

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction as TchReduction, Tensor};

use super::{
    Climbed, Combination, Critic, CriticContext, CriticState, Network, TargetFilter, TargetFilterSpec,
    gaussian::{self, Gaussians},
};
use crate::{
    agent::{Found, Reduction, UpdateReport},
    backup::soft_backup,
    batch::Batch,
    checkpoint::Section,
    error::Result,
    metrics,
    nn::{AdamSpec, ParamBlock, ParamLayout, Products, Trainable, numbers::numbers},
    noise::Stream,
    policy::{ActionDraw, Policy},
    schedule::GradSteps,
    spec_check::{SpecProblems, check_adam},
    target::TargetSpec,
};

/// Settings of the critic. What stands in the reference as a bare number is a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsacTSpec {
    /// E, at least 1. Paper: 2.
    pub members: i64,
    /// What σ settles at.
    pub sigma_rule: SigmaRule,
    /// ξ: half the width of the band around the mean that sampled targets are clipped to, in running standard
    /// deviations. Paper and reference: 3.
    pub clip_sigmas: f64,
    /// How fast the running standard deviation follows.
    pub running_std_rate: RunningStdRate,
    /// Standard deviations that a sample of the target may lie from its mean. Reference: 3; the paper is silent.
    pub noise_clamp: f64,
    /// Added to σ² where the gradient is divided by it, value². Paper (ε_ω) and reference: 0.1.
    pub variance_bias: f64,
    /// Added to σ where its gradient is divided by it, value. Paper (ε) and reference: 0.1.
    pub std_bias: f64,
    /// Smallest weight of a row's gradient. Reference: 0.1; the paper is silent.
    pub grad_weight_min: f64,
    /// Largest weight of a row's gradient. Reference: 10; the paper is silent.
    pub grad_weight_max: f64,
    /// Error of the mean beyond which its gradient grows no more, value. Paper: infinite, a square; reference: 50.
    pub huber_delta: f64,
    /// Of all members together.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for DsacTSpec {
    fn default() -> Self {
        DsacTSpec {
            members: 2,
            sigma_rule: SigmaRule::Nll,
            clip_sigmas: 3.0,
            running_std_rate: RunningStdRate::Targets,
            noise_clamp: 3.0,
            variance_bias: 0.1,
            std_bias: 0.1,
            grad_weight_min: 0.1,
            grad_weight_max: 10.0,
            huber_delta: f64::INFINITY,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

/// What σ² is compared with, and so where it settles; δ is the distance of the clipped sample from the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaRule {
    /// σ² = E\[δ²\]: where the log-likelihood of the paper is stationary.
    Nll,
    /// σ² = ½ E\[δ²\]: the reference's Huber loss carries a factor ½.
    Reference,
}

/// How fast the running standard deviation follows the batch's: `"targets"`, or a number per gradient step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningStdRate {
    /// As the targets do: their τ, or one over the interval between hard copies (the reference's default).
    Targets,
    /// `{ per_grad_step = 0.005 }`.
    PerGradStep(f64),
}

impl RunningStdRate {
    fn resolve(self, targets: TargetSpec) -> f64 {
        match (self, targets) {
            (RunningStdRate::PerGradStep(rate), _) => rate,
            (RunningStdRate::Targets, TargetSpec::Polyak { tau }) => tau,
            (RunningStdRate::Targets, TargetSpec::Hard { every_grad_steps }) => 1.0 / every_grad_steps as f64,
        }
    }
}

impl DsacTSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        for (name, value) in [
            ("clip_sigmas", self.clip_sigmas),
            ("noise_clamp", self.noise_clamp),
            ("variance_bias", self.variance_bias),
            ("std_bias", self.std_bias),
            ("grad_weight_min", self.grad_weight_min),
        ] {
            let key = format!("agent.critic.{name}");
            p.require(value > 0.0 && value.is_finite(), &key, value, "finite and above 0");
        }
        p.require(
            self.huber_delta > 0.0,
            "agent.critic.huber_delta",
            self.huber_delta,
            "above 0, or inf for none",
        );
        p.require(
            self.grad_weight_max >= self.grad_weight_min && self.grad_weight_max.is_finite(),
            "agent.critic.grad_weight_max",
            self.grad_weight_max,
            "finite and at least agent.critic.grad_weight_min",
        );
        if let RunningStdRate::PerGradStep(rate) = self.running_std_rate {
            p.require(
                rate > 0.0 && rate <= 1.0,
                "agent.critic.running_std_rate",
                format!("{{ per_grad_step = {rate} }}"),
                "above 0 and at most 1",
            );
        }
        check_adam(p, "agent.critic.optimizer", &self.optimizer);
    }
}

/// See the module.
pub struct DsacTCritic {
    network: Network,
    filter: Option<TargetFilter>,
    spec: DsacTSpec,
    running_std_rate: f64,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// What trails behind.
    pub target: ParamBlock,
    /// `[E, 1]`, value, or `[E, R]` of several replicates; none before the first update.
    running_std: Option<Tensor>,
}

impl DsacTCritic {
    /// Puts the critic together; targets start equal to the members.
    pub fn build(spec: &DsacTSpec, context: &CriticContext, init: &mut Stream) -> Self {
        let mut layout = ParamLayout::default();
        let network = Network::of_actions(context, gaussian::OUTPUTS, spec.members, &mut layout);
        let online = Trainable::new(layout, spec.optimizer, init, context.device);
        let target = online.params.detached_copy();
        DsacTCritic {
            network,
            filter: TargetFilter::of(spec.target_filter.as_ref(), context),
            running_std_rate: spec.running_std_rate.resolve(context.targets),
            spec: spec.clone(),
            online,
            target,
            running_std: None,
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

    /// Smaller mean `[B]`, and a sample `[B]` of the member that has it.
    ///
    /// Source: equations 19 and 20.
    fn next_value(&self, batch: &Batch, next: &ActionDraw, noise: &mut Stream) -> (Tensor, Tensor) {
        let members = self.target_members(&batch.next_obs, next.sampled(), noise);
        let sample = members.sample(self.spec.noise_clamp, batch.target_draws(), noise); // [E, B]
        members.lowest(&sample)
    }

    /// `target_mean` and `target_sample`, `[B]` each.
    ///
    /// Source: equation 18.
    fn targets(&self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> (Tensor, Tensor) {
        let _guard = tch::no_grad_guard();
        let (mean, sample) = self.next_value(batch, next, noise);
        let backup = |value: &Tensor| soft_backup(batch, value, alpha, &next.log_prob);
        (backup(&mean), backup(&sample))
    }
}

/// What a step is made of, and what it reports.
struct Step {
    /// Of each replicate.
    loss: Found,
    /// `[E, B]`.
    mean: Tensor,
    /// `[E, B]`.
    std: Tensor,
    /// `[E, 1]` or `[E, R]`, this batch included.
    running_std: Tensor,
    /// Whether sampled targets were clipped, or the share of them that was.
    clipped: Found,
}

impl DsacTCritic {
    /// A step towards targets `[B]` of mean and sample without autograd.
    fn descend_by_hand(&mut self, batch: &Batch, (mean, sample): (&Tensor, &Tensor)) -> Option<Step> {
        let (weight, mean, sample) = (batch.value_draw_weights(), mean.contiguous(), sample.contiguous());
        let (weight, mean, sample) = (weight.as_ref().map(numbers), numbers(&mean), numbers(&sample));
        let running_std = self.running_std.as_ref().map(Tensor::contiguous); // [E, R]
        let running_std = running_std.as_ref().map(numbers);
        let (spec, rate, replicates) = (&self.spec, self.running_std_rate, batch.replicates as usize);
        let rows = mean.len() / replicates;
        let loss = |unit: usize, out: &[f32], of_out: &mut [f32]| {
            let own = unit % replicates * rows..(unit % replicates + 1) * rows;
            let targets = by_hand::Targets {
                mean: &mean[own.clone()],
                sample: &sample[own.clone()],
                weight: weight.map(|weight| &weight[own]),
            };
            let before = running_std.map(|running_std| running_std[unit]);
            by_hand::of_unit(spec, out, targets, (before, rate), of_out)
        };
        let (_, units) = self
            .network
            .descend(&mut self.online, &batch.obs, &batch.action, loss)?;
        Some(by_hand::of_all(&units, replicates))
    }

    /// Of the members' numbers `out` `[E, B, 2]`, against targets `[B]` of mean and sample: the loss with its history, and
    /// the step.
    fn losses(&self, out: &Tensor, (target_mean, target_sample): (&Tensor, &Tensor), batch: &Batch) -> (Tensor, Step) {
        let now = Gaussians::of(out);
        let (mean, std) = (now.mean.detach(), now.std.detach()); // [E, B]
        let (before, rate) = (self.running_std.as_ref(), self.running_std_rate);
        let running_std = follow_spread(before, &std, rate, batch.replicates); // [E, R]
        let of_rows = batch.for_rows(&running_std); // [E, 1] or [E, B]
        let width = &of_rows * self.spec.clip_sigmas;
        let banded = clip_to_band(target_sample, &mean, &width); // [E, B]
        // Summed over members: each is an optimisation of its own and only shares a block.
        let losses = member_losses(&self.spec, &now, target_mean, &banded, &of_rows); // [E, B]
        let loss = batch.mean(&losses) * self.spec.members as f64;
        let clipped = (target_sample - &mean).abs().gt_tensor(&width).to_kind(Kind::Float);
        let step = Step {
            loss: (&loss).into(),
            clipped: (&clipped).into(),
            mean,
            std,
            running_std,
        };
        (loss, step)
    }
}

/// The running standard deviation `[E, R]` after a batch's `std` `[E, B]` of R replicates, which is one as a rule; the first
/// batch sets it. Rows count alike, whatever their weight: it is a statistic, not a loss.
///
/// Source: equations 25 to 27, with one average of σ for both uses, as in the reference.
pub fn follow_spread(running_std: Option<&Tensor>, std: &Tensor, rate: f64, replicates: i64) -> Tensor {
    let of_replicates = std.unflatten(-1, [replicates, -1]); // [E, R, B / R]
    let batch_std = of_replicates.mean_dim([-1i64].as_slice(), false, Kind::Float); // [E, R]
    match running_std {
        None => batch_std,
        Some(running_std) => running_std.lerp(&batch_std, rate),
    }
}

/// A sampled target `[B]`, brought to within `width` `[E, 1]` or `[E, B]` of each member's mean `[E, B]`.
///
/// Source: equation 23.
pub fn clip_to_band(sample: &Tensor, mean: &Tensor, width: &Tensor) -> Tensor {
    mean + (sample - mean).minimum(width).maximum(&-width)
}

/// Losses `[E, B]` of mean and spread.
///
/// ```text
/// ρ · [ H(q − y_q) + σ · sg( (σ² − h) / (σ + ε) ) ]      ρ = clamp( running_std² / (σ² + ε_ω) ),  H Huber's function
/// h = ½ δ²  (reference: its Huber loss)   or   δ²  (nll),    δ = clipped y_z − q
/// ```
///
/// The second term has a gradient, not a meaning: σ rises where σ² < h, and settles at E\[h\] = σ².
///
/// Source: the reference; equations 22 to 24 are its gradient without Huber and clamps, and with h = δ².
pub fn member_losses(
    spec: &DsacTSpec,
    now: &Gaussians,
    target_mean: &Tensor,
    banded: &Tensor,
    running_std: &Tensor,
) -> Tensor {
    let huber = |q: &Tensor, y: &Tensor| match spec.huber_delta.is_finite() {
        true => q.huber_loss(y, TchReduction::None, spec.huber_delta),
        false => (q - y).square() * 0.5,
    };
    let (mean, std) = (now.mean.detach(), now.std.detach()); // [E, B]
    let variance = std.square();
    let grad_weight =
        (running_std.square() / (&variance + spec.variance_bias)).clamp(spec.grad_weight_min, spec.grad_weight_max);
    let spread = match spec.sigma_rule {
        SigmaRule::Nll => (banded - &mean).square(),
        SigmaRule::Reference => huber(&mean, banded),
    };
    let pull = (variance - spread) / (std + spec.std_bias); // [E, B]
    let target = target_mean.unsqueeze(0).expand_as(&now.mean);
    grad_weight * (huber(&now.mean, &target) + &now.std * pull)
}

impl Critic for DsacTCritic {
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        let next = policy.draw_next(batch, noise);
        let (target_mean, target_sample) = self.targets(batch, &next, alpha, noise); // [B], [B]
        let targets = (&target_mean, &target_sample);
        let step = match self.descend_by_hand(batch, targets) {
            Some(step) => step,
            None => {
                let out = self.network.at(&self.online.views(), &batch.obs, &batch.action, noise); // [E, B, 2]
                let (loss, step) = self.losses(&out, targets, batch);
                self.online.descend(&loss);
                step
            }
        };
        let Step {
            loss,
            mean,
            std,
            running_std,
            clipped,
        } = step;

        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &mean);
        report.put(metrics::Q_STD, Reduction::Std, &mean);
        report.put(metrics::SIGMA_MEAN, Reduction::Mean, &std);
        report.put(metrics::SIGMA_RUNNING, Reduction::Mean, &running_std);
        report.put(metrics::TARGET_CLIPPED, Reduction::Mean, clipped);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target_mean);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| gaussian::mean_distance(&mean, &target_mean));
        match &mut self.running_std {
            // Into what is there: a recorded update goes on with that very tensor.
            Some(kept) => kept.copy_(&running_std),
            None => self.running_std = Some(running_std),
        }
        report
    }

    /// Equation 21's smaller mean.
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

    fn state(&mut self) -> Option<CriticState<'_>> {
        self.filter.is_none().then_some(CriticState {
            online: &mut self.online,
            target: &mut self.target,
            statistic: Some(&mut self.running_std),
        })
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
        if let Some(running_std) = &self.running_std {
            section.put_tensor(RUNNING_STD, running_std);
        }
        Ok(section)
    }

    fn load(&mut self, section: &Section) -> Result<()> {
        self.online.load("critic", section)?;
        self.target.load("target", section)?;
        self.running_std = match section.tensor_names().any(|name| name == RUNNING_STD) {
            false => None,
            true => {
                let device = self.online.params.flat().device();
                Some(section.tensor(RUNNING_STD, &[self.spec.members, 1])?.to_device(device))
            }
        };
        Ok(())
    }
}

/// Name of the running standard deviation in the section.
const RUNNING_STD: &str = "running_std";

#[cfg(test)]
mod tests;
