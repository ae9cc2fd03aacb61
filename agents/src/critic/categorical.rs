//! A categorical critic: `E` networks with the logits of K equally spaced returns each.
//!
//! | Symbol | Code | Shape · unit |
//! |---|---|---|
//! | z_k | [`Support::values`] | `[K]`, value |
//! | p_k(s, a) | softmax of the outputs `[E, B, K]` | probability |
//! | Q(s, a) = Σ_k p_k z_k | [`MemberValue::Expectation`] | `[E, B]`, value |
//! | T z_k = r + γ (z_k − α log π(a'\|s')) | `shifted` | `[K, B]`, value |
//! | Φ T z | [`Support::project`] | `[B, K]`, probability |
//!
//! The target distribution is that of the member with the smallest mean at (s', a'). Members minimise the cross-entropy
//! −Σ_k (Φ T z)_k log p_k(s, a). Sources: Bellemare et al. 2017 (arXiv 1707.06887), algorithm 1, for the projection;
//! FlashSAC (`update.py` of Holiday-Robot/FlashSAC 87edc90) and XQC (`critic.py` of danielpalenicek/xqc 9a6832b) for the
//! entropy and the choice of the member. Farebrother et al. 2024 (arXiv 2403.03950) for targets that are one number.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Critic, CriticLoss, CriticStep,
    combination::Combination,
    objective::{ActorObjective, MemberValue},
    scalar,
    statistics::Statistics,
    support::Support,
    target_filter::{FilterOrder, TargetFilterSpec},
    value_function::{FunctionInput, FunctionSpec, TargetFunction, ValueFunction},
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
};

/// Settings of a categorical critic. Defaults: FlashSAC and XQC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoricalCriticSpec {
    /// E, the number of members, at least 1.
    pub members: i64,
    /// K, the number of returns, at least 2.
    pub atoms: i64,
    /// The lowest return, value units, below `max`.
    pub min: f64,
    /// The highest return, value units.
    pub max: f64,
    /// The target of the cross-entropy.
    pub target: CategoricalTarget,
    /// Reduction of the members to the actor's objective.
    pub actor_value: Combination,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

/// The target of the cross-entropy: `"distribution"`, `"two_hot"`, or `{ hl_gauss = 0.75 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CategoricalTarget {
    /// The target distribution of the return, projected (Bellemare et al. 2017).
    Distribution,
    /// The expected return, divided between two neighbouring atoms.
    TwoHot,
    /// A normal distribution around the expected return, with a standard deviation of so many distances between atoms
    /// (Farebrother et al. 2024: 0.75).
    HlGauss(f64),
}

impl Default for CategoricalCriticSpec {
    fn default() -> Self {
        CategoricalCriticSpec {
            members: 2,
            atoms: 101,
            min: -5.0,
            max: 5.0,
            target: CategoricalTarget::Distribution,
            actor_value: Combination::Min,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

impl CategoricalCriticSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let (members, atoms) = (self.members, self.atoms);
        let between = |low: i64| format!("between {low} and 1000");
        let holds = (1..=1000).contains(&members);
        p.require(holds, "agent.critic.members", members, &between(1));
        p.require((2..=1000).contains(&atoms), "agent.critic.atoms", atoms, &between(2));
        const MOST: f64 = 1e9;
        let (min, max) = (self.min, self.max);
        let holds = min >= -MOST && max <= MOST && min < max;
        p.require(
            holds,
            "agent.critic.min",
            min,
            "at least -1e9 and below agent.critic.max, at most 1e9",
        );
        if let CategoricalTarget::HlGauss(std) = self.target {
            let holds = (0.1..=100.0).contains(&std);
            let value = format!("{{ hl_gauss = {std:?} }}");
            p.require(
                holds,
                "agent.critic.target",
                value,
                "a standard deviation between 0.1 and 100 distances",
            );
        }
        self.optimizer.check(p, "agent.critic.optimizer");
    }

    pub(crate) fn support(&self) -> Support {
        Support {
            min: self.min,
            max: self.max,
            atoms: self.atoms,
        }
    }
}

/// The categorical critic.
pub struct CategoricalCritic {
    spec: CategoricalCriticSpec,
    support: Support,
}

impl CategoricalCritic {
    /// A critic with the given settings.
    pub fn new(spec: &CategoricalCriticSpec) -> Self {
        CategoricalCritic {
            support: spec.support(),
            spec: spec.clone(),
        }
    }

    /// The distributions `[B, K]` of the member with the smallest mean in every row of `[E, B, K]`.
    fn lowest(&self, probability: &Tensor) -> Tensor {
        let index = self.support.expectation(probability).argmin(0, false); // [B]
        let index = index.view([1, -1, 1]).expand([1, -1, self.support.atoms], false);
        probability.gather(0, &index, false).squeeze_dim(0)
    }

    /// The target distribution `[B, K]` of the soft return at the next actions `[B, A]`. A filter mixes the distributions
    /// of its points.
    fn next_distribution(
        &self,
        q: &TargetFunction,
        next_obs: &Tensor,
        next_action: &Tensor,
        stream: &mut Stream,
    ) -> Tensor {
        let members = |obs: &Tensor, action: &Tensor, stream: &mut Stream| {
            q.at(obs, action, stream).softmax(-1, Kind::Float) // [E, K·B, K]
        };
        let Some(filter) = q.filter() else {
            return self.lowest(&members(next_obs, next_action, stream));
        };
        let mixed = match filter.order() {
            FilterOrder::FilterThenMin => self.lowest(&filter.average(next_obs, next_action, stream, members)),
            FilterOrder::MinThenFilter => {
                let lowest = |obs: &Tensor, action: &Tensor, stream: &mut Stream| {
                    self.lowest(&members(obs, action, stream)).unsqueeze(0)
                };
                filter.average(next_obs, next_action, stream, lowest).squeeze_dim(0)
            }
        };
        let positive = mixed.clamp_min(0.0); // weights of a kernel may be negative
        let total = positive.sum_dim_intlist([-1i64].as_slice(), true, Kind::Float);
        positive / total
    }
}

impl Critic for CategoricalCritic {
    fn functions(&self) -> Vec<FunctionSpec> {
        vec![FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: self.spec.members,
            outputs: self.spec.atoms,
            optimizer: self.spec.optimizer,
            target: Some("target"),
            target_filter: self.spec.target_filter.clone(),
        }]
    }

    /// The target distribution `[K, B]`, its mean `[B]` and the probability `[B]` of returns outside the support.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let (batch, support) = (step.batch, self.support);
        let q = functions[0].of_target(batch);
        let probability = self.next_distribution(&q, &batch.next_obs, next.sampled(), stream); // [K·B, K]
        let (target, at, probability) = match self.spec.target {
            CategoricalTarget::Distribution => {
                let z = support.values(probability.device()).unsqueeze(-1); // [K, 1]
                let shifted = z.expand([-1, probability.size()[0]], false); // [K, K·B]
                let at = soft_backup(batch, &shifted, step.alpha, &next.log_prob).transpose(0, 1); // [M·B, K]
                let averaged = batch.over_target_draws(&probability.transpose(0, 1)); // [K, B]
                let probability = batch.for_value_draws(&averaged).transpose(0, 1); // [M·B, K]
                (support.project(&probability, &at), at, probability)
            }
            CategoricalTarget::TwoHot | CategoricalTarget::HlGauss(_) => {
                let value = support.expectation(&probability); // [K·B]
                let y = soft_backup(batch, &value, step.alpha, &next.log_prob); // [M·B]
                let (at, certain) = (y.unsqueeze(-1), y.ones_like().unsqueeze(-1)); // [M·B, 1]
                let target = match self.spec.target {
                    CategoricalTarget::HlGauss(std) => support.histogram(&y, std * support.spacing()),
                    _ => support.project(&certain, &at),
                };
                (target, at, certain)
            }
        };
        let outside = at.lt(support.min).logical_or(&at.gt(support.max)).to_kind(Kind::Float);
        let over_atoms = |x: Tensor| x.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float); // [M·B]
        vec![
            target.transpose(0, 1),
            over_atoms(&probability * &at),
            over_atoms(&probability * outside),
        ]
    }

    /// The cross-entropy, summed over members. Members share no parameters, so each minimises its own loss.
    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let distribution = targets[0].transpose(0, 1); // [B, K]
        let log_probability = out.log_softmax(-1, Kind::Float); // [E, B, K]
        let losses = -(distribution * &log_probability).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float); // [E, B]
        let loss = batch.mean(&losses) * self.spec.members as f64;

        let probability = log_probability.detach().exp();
        let q = self.support.expectation(&probability); // [E, B]
        let distance = self.support.values(out.device()) - q.unsqueeze(-1); // [E, B, K]
        let variance = (probability * distance.square()).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        CriticLoss {
            report: report((&loss).into(), (&q, &variance.sqrt()), targets, batch),
            loss,
        }
    }

    fn actor_objective(&self) -> ActorObjective {
        ActorObjective {
            combination: self.spec.actor_value,
            value: MemberValue::Expectation(self.support),
        }
    }
}

/// The report of a step, from values and standard deviations `[E, B]` before it and the critic's targets.
pub(crate) fn report(
    loss: MetricValue,
    (q, std): (&Tensor, &Tensor),
    targets: &[Tensor],
    batch: &Batch,
) -> UpdateReport {
    let (mean, outside) = (&targets[1], &targets[2]); // [B], [B]
    let mut report = scalar::report(loss, q, mean, batch);
    report.put(metrics::SIGMA_MEAN, Reduction::Mean, std);
    report.put(metrics::TARGET_CLIPPED, Reduction::Mean, outside);
    report.put(metrics::TARGET_MIN, Reduction::Min, mean);
    report.put(metrics::TARGET_MAX, Reduction::Max, mean);
    report
}
