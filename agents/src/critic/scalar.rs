//! The critic of Soft Actor-Critic: `E` networks `Q(s, a)`, targets from the smallest; and of REDQ, whose targets come
//! from a few of many.
//!
//! Sources: Haarnoja et al. 2018b (arXiv 1812.05905), section 4.2; the clipped double estimate is Fujimoto et al.
//! 2018's; random subsets are Chen et al. 2021's (arXiv 2101.05982, algorithm 1).
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q_θ̄i(s', a') | `next_q` | `[E, B]`, value |
//! | y | `target` | `[B]`, value |
//! | M (REDQ) | `target_members` | members |
//!
//! With `target_filter`, Q_θ̄i(s', a') is its average over points around a' (see [`super::target_filter`]).

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

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalarSpec {
    /// E, at least 1. SAC uses two, REDQ ten.
    pub members: i64,
    /// Members whose smallest value is the target's.
    pub target_members: TargetMembers,
    /// What the actor maximises: the smallest or the mean value over members.
    pub actor_value: Combination,
    /// Of all members together.
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

/// Which members make the target: `"all"`, or `{ random = M }` for M different ones, drawn anew at every update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetMembers {
    /// Every one (SAC).
    All,
    /// M (REDQ: 2).
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

/// See the module.
pub struct ScalarCritic {
    spec: ScalarSpec,
}

impl ScalarCritic {
    /// With these settings.
    pub fn new(spec: &ScalarSpec) -> Self {
        ScalarCritic { spec: spec.clone() }
    }

    /// The smallest member's value `[B]` of the next action, over all members or over some drawn ones.
    fn next_value(&self, q: &ValueFunction, batch: &Batch, next: &ActionDraw, stream: &mut Stream) -> Tensor {
        // Only the members that are drawn are evaluated: two of ten cost a fifth.
        let drawn;
        let params = match self.spec.target_members {
            TargetMembers::All => q.target_params(),
            TargetMembers::Random(count) => {
                let chosen = stream.subset(q.members(), count, batch.reward.device());
                drawn = q.target_members(&chosen);
                &drawn
            }
        };
        let obs = &batch.next_obs;
        match q.filter() {
            None => q.expected(params, obs, next, stream, Combination::Min),
            Some(filter) => {
                let members = |obs: &Tensor, action: &Tensor, stream: &mut Stream| {
                    q.with(params, obs, action, stream).squeeze_dim(-1) // [E, K·B]
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

    /// Equation 5, ½ E[(Q − y)²], summed over members: each is an optimisation of its own and only shares a block.
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

/// What a step reports: values `q` `[E, B]` before it, targets `[B]`.
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
