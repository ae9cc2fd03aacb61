//! The critic of DSAC-T: two normal distributions of the soft return, `Z(s, a) ~ N(Q(s, a), σ(s, a)²)`.
//!
//! Source: Duan et al., "Distributional Soft Actor-Critic with Three Refinements" (arXiv 2310.05858; TPAMI 47(5),
//! 2025), and its reference code `DSAC-v2`, file `dsac_v2.py` ("reference"). We took the paper's equation numbers from a
//! secondary source.
//!
//! The reference has had two losses. The *published* one, of November 2023 to July 2025, is that of the paper and its
//! results. The *revised* one came with commit c5105eb of July 2025 and added a Huber function and a clamp of the
//! gradient weight. [`Form`] chooses between them.
//!
//! * *Expected-value substitution*: the mean learns from the mean of the target, and σ from a sample of the target.
//! * *Twin value distributions*: mean and sample of the target come from the member with the smaller mean, and the
//!   actor maximises the smaller mean.
//! * *Variance-based gradient adjustment*: the sampled target is clipped to ξ running standard deviations around the
//!   mean, and the gradient of each row is scaled by the ratio of the running variance to the row's variance.
//!
//! | Line of the algorithm | Implementation |
//! |---|---|
//! | a' and log π(a'\|s') | [`crate::policy::Policy::draw_next`] |
//! | smaller mean, and the same member's sample (eqs 19, 20), y_q, y_z (eq 18) | [`DsacTCritic`]'s targets |
//! | moving averages (eqs 25–27) | [`follow_spread`] |
//! | ξ-sigma clip (eq 23) | [`clip_to_band`] |
//! | gradient of the critics (eqs 22–24) | [`published_losses`]; revised: [`revised_losses`] |
//! | actor, temperature | [`crate::soft_actor_critic`] |
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi, σ_θi | `now.mean`, `now.std` | `[E, B]`, value |
//! | y_q | `target_mean` | `[B]`, value |
//! | y_z | `target_sample` | `[B]`, value |
//! | ȳ_z, clipped | `banded` | `[E, B]`, value |
//! | δ_q = y_q − Q_θ, δ_b = ȳ_z − Q_θ | `mean_error`, `spread` = δ_b² | `[E, B]`, value and value² |
//! | m = b / ξ, running E\[σ\] | `running_std` | `[E, 1]`, value |
//! | ω + ε_ω | `scale` = m² + ε_ω | `[E, 1]`, value² |
//! | ω / (σ² + ε_ω), clamped | `grad_weight` (revised) | `[E, B]`, – |
//! | ξ | `clip_sigmas` | – |
//! | ε_ω | `variance_bias` | value² |
//! | ε | `std_bias` | value³; revised: value |
//! | τ_b | `running_std_rate` | per gradient step |

use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction as TchReduction, Tensor};

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
    report::{MetricValue, Reduction, UpdateReport},
    spec_problems::SpecProblems,
    target::TargetSpec,
};

/// Settings of the DSAC-T critic, including those that the reference code hard-codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsacTSpec {
    /// E, the number of members, at least 1. Paper: 2.
    pub members: i64,
    /// Which of the reference's two losses is minimised.
    pub form: Form,
    /// The quantity that σ² converges to. Form `revised` only; `published` has `nll`.
    pub sigma_rule: SigmaRule,
    /// ξ, half the width of the band around the mean to which sampled targets are clipped, in running standard
    /// deviations. Paper and reference: 3.
    pub clip_sigmas: f64,
    /// Rate of the moving average of the standard deviation.
    pub running_std_rate: RunningStdRate,
    /// Largest distance of a target sample from its mean, standard deviations. Reference: 3; not stated in the paper.
    pub noise_clamp: f64,
    /// Added to σ² in the denominator of the mean's gradient, and with form `published` to the running variance in
    /// front of the loss, value². Paper (ε_ω) and reference: 0.1.
    pub variance_bias: f64,
    /// Added in the denominator of σ's gradient: with form `published` to σ³, value³; with `revised` to σ, value. Paper
    /// (ε) and reference: 0.1.
    pub std_bias: f64,
    /// Smallest gradient weight of a row. Form `revised` only; reference: 0.1.
    pub grad_weight_min: f64,
    /// Largest gradient weight of a row. Form `revised` only; reference: 10.
    pub grad_weight_max: f64,
    /// δ of the Huber loss of the mean, value. Form `revised` only, whose reference has 50; infinite for a squared error.
    pub huber_delta: f64,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for DsacTSpec {
    fn default() -> Self {
        DsacTSpec {
            members: 2,
            form: Form::Revised,
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

/// The losses that the reference code has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Of November 2023 to July 2025, and of the paper: [`published_losses`].
    Published,
    /// Since July 2025: [`revised_losses`].
    Revised,
}

/// The quantity that σ² is compared with and converges to. δ is the difference between the clipped sample and the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaRule {
    /// σ² = E\[δ²\], the stationary point of the paper's log-likelihood.
    Nll,
    /// σ² = ½ E\[δ²\], because the Huber loss of the reference has a factor ½.
    Reference,
}

/// Rate at which the running standard deviation follows that of the batch: `"targets"`, or a number per gradient step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunningStdRate {
    /// The rate of target parameters: τ, or one over the period of hard updates (the reference's default). Without target
    /// parameters: 0.005.
    Targets,
    /// A given rate: `{ per_grad_step = 0.005 }`.
    PerGradStep(f64),
}

impl RunningStdRate {
    /// The rate per gradient step.
    fn resolve(self, targets: TargetSpec) -> f64 {
        match (self, targets) {
            (RunningStdRate::PerGradStep(rate), _) => rate,
            (RunningStdRate::Targets, TargetSpec::Polyak { tau }) => tau,
            (RunningStdRate::Targets, TargetSpec::Hard { every_grad_steps }) => 1.0 / every_grad_steps as f64,
            (RunningStdRate::Targets, TargetSpec::None) => 0.005, // the reference's τ
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
            ("grad_weight_max", self.grad_weight_max),
        ] {
            p.require_positive(&format!("agent.critic.{name}"), value);
        }
        p.require(
            self.huber_delta >= 1e-30,
            "agent.critic.huber_delta",
            self.huber_delta,
            "above 0; inf for a squared error",
        );
        p.require(
            self.grad_weight_max >= self.grad_weight_min,
            "agent.critic.grad_weight_max",
            self.grad_weight_max,
            "at least agent.critic.grad_weight_min",
        );
        if self.form == Form::Published {
            let revised = DsacTSpec::default();
            let reason = "only with form = \"revised\": the published loss has no such setting";
            let weights =
                [self.grad_weight_min, self.grad_weight_max] == [revised.grad_weight_min, revised.grad_weight_max];
            p.require(
                self.sigma_rule == revised.sigma_rule,
                "agent.critic.sigma_rule",
                "\"reference\"",
                reason,
            );
            p.require(
                self.huber_delta == revised.huber_delta,
                "agent.critic.huber_delta",
                self.huber_delta,
                reason,
            );
            p.require(
                weights,
                "agent.critic.grad_weight_min",
                format!("{}, grad_weight_max = {}", self.grad_weight_min, self.grad_weight_max),
                reason,
            );
        }
        if let RunningStdRate::PerGradStep(rate) = self.running_std_rate {
            p.require(
                rate > 0.0 && rate <= 1.0,
                "agent.critic.running_std_rate",
                format!("{{ per_grad_step = {rate} }}"),
                "above 0 and at most 1",
            );
        }
        self.optimizer.check(p, "agent.critic.optimizer");
    }
}

/// The critic of DSAC-T.
pub struct DsacTCritic {
    pub(crate) spec: DsacTSpec,
    /// τ_b, per gradient step.
    pub(crate) running_std_rate: f64,
}

impl DsacTCritic {
    /// A critic with the given settings, whose target parameters follow by `targets`.
    pub fn new(spec: &DsacTSpec, targets: TargetSpec) -> Self {
        DsacTCritic {
            running_std_rate: spec.running_std_rate.resolve(targets),
            spec: spec.clone(),
        }
    }
}

/// The running standard deviation `[E, 1]` updated with a batch's `std` `[E, B]`. The first batch initialises it. Row
/// weights are ignored, because this is a statistic and not a loss.
///
/// Source: equations 25 to 27, with one average of σ for both uses, as in the reference.
pub fn follow_spread(running_std: Option<&Tensor>, std: &Tensor, rate: f64) -> Tensor {
    let batch_std = std.mean_dim([-1i64].as_slice(), true, Kind::Float); // [E, 1]
    match running_std {
        None => batch_std,
        Some(running_std) => running_std.lerp(&batch_std, rate),
    }
}

/// Clips a sampled target `[B]` to the band of half-width `width` `[E, 1]` around each member's mean `[E, B]`: `[E,
/// B]`.
///
/// Source: equation 23.
pub fn clip_to_band(sample: &Tensor, mean: &Tensor, width: &Tensor) -> Tensor {
    mean + (sample - mean).minimum(width).maximum(&-width)
}

/// The published losses `[E, B]` of the members' means and standard deviations.
///
/// ```text
/// (m² + ε_ω) · [ − sg( δ_q / (σ² + ε_ω) ) · Q  −  sg( (δ_b² − σ²) / (σ³ + ε) ) · σ ]
/// δ_q = y_q − Q,  δ_b = clipped y_z − Q
/// ```
///
/// Only its gradient is meaningful: that of the negative log-likelihood, scaled by the running variance. σ² converges
/// to E\[δ_b²\].
///
/// Source: equations 22 to 24, and the reference of November 2023 to July 2025 (commits 4707a52 to 77263e3).
pub fn published_losses(
    spec: &DsacTSpec,
    now: &Gaussians,
    target_mean: &Tensor,
    banded: &Tensor,
    running_std: &Tensor,
) -> Tensor {
    let (mean, std) = (now.mean.detach(), now.std.detach()); // [E, B]
    let variance = std.square();
    let mean_error = target_mean - &mean;
    let spread = (banded - &mean).square();
    let mean_pull = mean_error / (&variance + spec.variance_bias);
    let std_pull = (spread - &variance) / (std.pow_tensor_scalar(3) + spec.std_bias);
    let scale = running_std.square() + spec.variance_bias; // [E, 1]
    -scale * (mean_pull * &now.mean + std_pull * &now.std)
}

/// The revised losses `[E, B]` of the members' means and standard deviations.
///
/// ```text
/// ρ · [ H(Q − y_q) + σ · sg( (σ² − h) / (σ + ε) ) ]      ρ = clamp( m² / (σ² + ε_ω) ),  H Huber's function
/// h = H(δ_b)  (sigma_rule `reference`)   or   δ_b²  (`nll`),      δ_b = clipped y_z − Q
/// ```
///
/// Only the gradient of the second term is meaningful: σ increases if σ² < h, and converges to σ² = E\[h\].
///
/// Source: the reference since July 2025 (commit c5105eb).
pub fn revised_losses(
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

/// Losses `[E, B]` of the members' means and standard deviations, in the form of the settings. `target_mean`: y_q
/// `[B]`; `banded`: ȳ_z `[E, B]`; `running_std`: m `[E, 1]`, updated with this batch.
pub fn member_losses(
    spec: &DsacTSpec,
    now: &Gaussians,
    target_mean: &Tensor,
    banded: &Tensor,
    running_std: &Tensor,
) -> Tensor {
    match spec.form {
        Form::Published => published_losses(spec, now, target_mean, banded, running_std),
        Form::Revised => revised_losses(spec, now, target_mean, banded, running_std),
    }
}

impl Critic for DsacTCritic {
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

    fn statistics(&self) -> Vec<(&'static str, Vec<i64>)> {
        vec![(RUNNING_STD, vec![self.spec.members, 1])]
    }

    /// y_q and y_z, `[B]` each: mean and sample of the member whose mean is smaller (equations 18 to 20).
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
        let (mean, sample) = members.lowest(&sample); // [B], [B]
        let backup = |value: &Tensor| soft_backup(batch, value, step.alpha, &next.log_prob);
        vec![backup(&mean), backup(&sample)]
    }

    fn loss(&self, out: &Tensor, targets: &[Tensor], statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let (target_mean, target_sample) = (&targets[0], &targets[1]); // [B], [B]
        let now = Gaussians::of(out);
        let (mean, std) = (now.mean.detach(), now.std.detach()); // [E, B]
        let running_std = follow_spread(statistics.get(RUNNING_STD), &std, self.running_std_rate); // [E, 1]
        let width = &running_std * self.spec.clip_sigmas;
        let banded = clip_to_band(target_sample, &mean, &width); // [E, B]
        let losses = member_losses(&self.spec, &now, target_mean, &banded, &running_std); // [E, B]
        // Summed over members, which share no parameters, so that each minimises its own loss.
        let loss = batch.mean(&losses) * self.spec.members as f64;
        let clipped = (target_sample - &mean).abs().gt_tensor(&width).to_kind(Kind::Float);
        let observed = Observed {
            loss: (&loss).into(),
            mean,
            std,
            running_std,
            clipped: (&clipped).into(),
        };
        CriticLoss {
            report: observed.report(target_mean, statistics, batch),
            loss,
        }
    }

    /// The smaller mean (equation 21).
    fn actor_objective(&self) -> ActorObjective {
        ActorObjective::first(Combination::Min)
    }
}

/// The quantities that the report of a step is made from.
pub(crate) struct Observed {
    pub(crate) loss: MetricValue,
    /// `[E, M·B]`.
    pub(crate) mean: Tensor,
    /// `[E, M·B]`.
    pub(crate) std: Tensor,
    /// `[E, 1]`, updated with this batch.
    pub(crate) running_std: Tensor,
    /// Fraction of the sampled targets that were clipped, or an indicator of each.
    pub(crate) clipped: MetricValue,
}

impl Observed {
    /// Makes the step's report, and stores the running standard deviation in `statistics`.
    pub(crate) fn report(self, target_mean: &Tensor, statistics: &mut Statistics, batch: &Batch) -> UpdateReport {
        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, self.loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &self.mean);
        report.put(metrics::Q_STD, Reduction::Std, &self.mean);
        report.put(metrics::SIGMA_MEAN, Reduction::Mean, &self.std);
        report.put(metrics::SIGMA_RUNNING, Reduction::Mean, &self.running_std);
        report.put(metrics::TARGET_CLIPPED, Reduction::Mean, self.clipped);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, target_mean);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| gaussian::mean_distance(&self.mean, target_mean));
        statistics.set(RUNNING_STD, &self.running_std);
        report
    }
}

/// Name of the running standard deviation in checkpoints.
pub(crate) const RUNNING_STD: &str = "running_std";

#[cfg(test)]
mod tests;
