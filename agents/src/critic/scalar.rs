//! The critics of Soft Actor-Critic and REDQ: `E` networks `Q(s, a)`, with targets from the minimum over all of them
//! (SAC) or over a random subset (REDQ).
//!
//! Sources: Haarnoja et al. 2018b (arXiv 1812.05905), section 4.2; Fujimoto et al. 2018 (TD3) for the clipped double
//! estimate; Chen et al. 2021 (REDQ, arXiv 2101.05982), algorithm 1, for random subsets.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q_θ̄i(s', a') | `next_q` | `[E, B]`, value |
//! | y | `target` | `[B]`, value |
//! | M (REDQ) | `target_members` | members |
//!
//! With a `target_filter`, Q_θ̄i(s', a') is averaged over points around a' (see [`super::target_filter`]).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Critic, CriticLoss, CriticStep,
    combination::Combination,
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
};

/// Settings of the scalar critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalarSpec {
    /// E, the number of members, at least 1. SAC uses two, REDQ ten.
    pub members: i64,
    /// The members whose minimum is used in the target.
    pub target_members: TargetMembers,
    /// Reduction over members in the actor's objective.
    pub actor_value: Combination,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for ScalarSpec {
    fn default() -> Self {
        ScalarSpec {
            members: 2,
            target_members: TargetMembers::All,
            actor_value: Combination::Min,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

/// The members used in the target: `"all"`, or `{ random = M }` for M distinct members drawn at every update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetMembers {
    /// All members (SAC).
    All,
    /// M randomly drawn members (REDQ: 2).
    Random(i64),
}

impl ScalarSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        if let TargetMembers::Random(count) = self.target_members {
            p.require(
                (1..=members).contains(&count),
                "agent.critic.target_members",
                format!("{{ random = {count} }}"),
                &format!("between 1 and agent.critic.members = {members}"),
            );
        }
        self.optimizer.check(p, "agent.critic.optimizer");
    }
}

/// The critic of SAC and REDQ.
pub struct ScalarCritic {
    spec: ScalarSpec,
}

impl ScalarCritic {
    /// A critic with the given settings.
    pub fn new(spec: &ScalarSpec) -> Self {
        ScalarCritic { spec: spec.clone() }
    }

    /// The target value `[K·B]` of the next actions: the minimum over all members or over randomly drawn ones.
    fn next_value(&self, q: &ValueFunction, batch: &Batch, next: &ActionDraw, stream: &mut Stream) -> Tensor {
        let q = match self.spec.target_members {
            TargetMembers::All => q.of_target(batch),
            // Only the drawn members are evaluated: two of ten take a fifth of the time.
            TargetMembers::Random(count) => {
                let chosen = stream.subset(q.members(), count, batch.reward.device());
                q.of_target(batch).members(&chosen)
            }
        };
        let obs = &batch.next_obs;
        match q.filter() {
            None => q.expected(obs, next, stream, Combination::Min),
            Some(filter) => {
                let members = |obs: &Tensor, action: &Tensor, stream: &mut Stream| {
                    q.at(obs, action, stream).squeeze_dim(-1) // [E, K·B]
                };
                let lowest = |next_q: &Tensor| Combination::Min.apply(next_q);
                filter.combined(obs, next.sampled(), stream, members, lowest)
            }
        }
    }
}

impl Critic for ScalarCritic {
    fn functions(&self) -> Vec<FunctionSpec> {
        vec![FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: self.spec.members,
            outputs: 1,
            optimizer: self.spec.optimizer,
            target: Some("target"),
            target_filter: self.spec.target_filter.clone(),
        }]
    }

    /// y `[B]`: equation 6.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let next_q = self.next_value(&functions[0], step.batch, next, stream); // [B]
        vec![soft_backup(step.batch, &next_q, step.alpha, &next.log_prob)]
    }

    /// Equation 5, ½ E[(Q − y)²], summed over members. Members share no parameters, so each minimises its own loss.
    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let (q, target) = (out.squeeze_dim(-1), &targets[0]); // [E, B], [B]
        let error = &q - target; // [E, B]
        let loss = batch.mean(&error.square()) * (0.5 * self.spec.members as f64);
        CriticLoss {
            report: report((&loss).into(), &q.detach(), target, batch),
            loss,
        }
    }

    fn actor_objective(&self) -> ActorObjective {
        ActorObjective::first(self.spec.actor_value)
    }
}

/// The report of a step, from the values `q` `[E, M·B]` before it and the targets `[M·B]`.
pub(crate) fn report(loss: MetricValue, q: &Tensor, target: &Tensor, batch: &Batch) -> UpdateReport {
    let mut report = UpdateReport::default();
    report.put(metrics::CRITIC_LOSS, Reduction::Mean, loss);
    report.put(metrics::Q_MEAN, Reduction::Mean, q);
    report.put(metrics::Q_STD, Reduction::Std, q);
    report.put(metrics::TARGET_MEAN, Reduction::Mean, target);
    report.td_error = batch
        .weight
        .is_some()
        .then(|| Combination::Mean.apply(&(q - target).abs()));
    report
}
