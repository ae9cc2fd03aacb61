//! The critic of the first version of SAC: a state value `V(s)` with a target network, and two action values `Q(s, a)`.
//!
//! Source: Haarnoja et al. 2018, "Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement Learning with a
//! Stochastic Actor" (arXiv 1801.01290), section 4.2 and algorithm 1.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | V_ψ(s) | `v` | `[B]`, value |
//! | V_ψ̄(s') | `next_v` | `[B]`, value |
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q̂(s, a) (eq 8) | `target` | `[B]`, value |
//! | 1 / reward scale | `alpha` | value per nat |

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Critic, CriticLoss, CriticStep,
    combination::Combination,
    objective::ActorObjective,
    scalar,
    statistics::Statistics,
    value_function::{FunctionInput, FunctionSpec, ValueFunction},
};
use crate::{
    batch::Batch,
    losses::backup,
    metrics,
    nn::AdamSpec,
    noise::Stream,
    policy::ActionDraw,
    report::{Reduction, UpdateReport},
    spec_problems::SpecProblems,
};

/// Settings of the state-value critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateValueSpec {
    /// E, the number of action values, at least 1. Paper: 2. There is always one V.
    pub members: i64,
    /// Reduction over members in the actor's objective.
    pub actor_value: Combination,
    /// Optimiser of all action values.
    pub optimizer: AdamSpec,
    /// Optimiser of V.
    pub value_optimizer: AdamSpec,
}

impl Default for StateValueSpec {
    fn default() -> Self {
        StateValueSpec {
            members: 2,
            actor_value: Combination::Min,
            optimizer: AdamSpec::default(),
            value_optimizer: AdamSpec::default(),
        }
    }
}

impl StateValueSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        self.optimizer.check(p, "agent.critic.optimizer");
        self.value_optimizer.check(p, "agent.critic.value_optimizer");
    }
}

/// The critic of the first version of SAC.
pub struct StateValueCritic {
    spec: StateValueSpec,
}

impl StateValueCritic {
    /// A critic with the given settings.
    pub fn new(spec: &StateValueSpec) -> Self {
        StateValueCritic { spec: spec.clone() }
    }
}

impl Critic for StateValueCritic {
    /// The action values, without target parameters, and V, with its own encoder and target parameters.
    fn functions(&self) -> Vec<FunctionSpec> {
        let q = FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: self.spec.members,
            outputs: 1,
            optimizer: self.spec.optimizer,
            target: None,
            target_filter: None,
        };
        let v = FunctionSpec {
            name: "value",
            input: FunctionInput::States,
            members: 1,
            optimizer: self.spec.value_optimizer,
            target: Some("value_target"),
            ..q.clone()
        };
        vec![q, v]
    }

    /// In the order of algorithm 1: V learns from the current action values, then the action values learn from V's
    /// target.
    fn learn(
        &self,
        functions: &mut [ValueFunction],
        statistics: &mut Statistics,
        step: &CriticStep,
        stream: &mut Stream,
    ) -> UpdateReport {
        let CriticStep { batch, policy, alpha } = *step;
        let fresh = policy.draw_now(batch, stream);
        let mut report = UpdateReport::default();

        // V moves towards the soft value of a newly drawn action: equations 3 and 5, with the minimum of section 4.2.
        let target = tch::no_grad(|| {
            let q = &functions[0];
            let value = q.expected(&batch.obs, &fresh, stream, Combination::Min); // [B]
            value - alpha * &fresh.log_prob
        });
        functions[1].minimize_of_state(&batch.obs, stream, |out| {
            let v = out.view([-1]); // [B]
            let loss = batch.mean(&(&v - &target).square()) * 0.5;
            report.put(metrics::VALUE_LOSS, Reduction::Mean, &loss);
            report.put(metrics::VALUE_MEAN, Reduction::Mean, &v);
            loss
        });

        let targets = tch::no_grad(|| self.targets(functions, step, &fresh, stream));
        functions[0].minimize(batch, &fresh, stream, |out| {
            let CriticLoss { loss, report: of_q } = self.loss(out, &targets, statistics, batch);
            report.extend(of_q);
            loss
        });
        report
    }

    /// Q̂ `[B]`: equation 8. V already includes the entropy.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        _next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let next_v = functions[1]
            .of_target(step.batch)
            .of_state(&step.batch.next_obs, stream)
            .view([-1]); // [B]
        vec![backup(step.batch, &next_v)]
    }

    /// Equation 7, summed over members. Members share no parameters, so each minimises its own loss.
    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let (q, target) = (out.squeeze_dim(-1), &targets[0]); // [E, B], [B]
        let loss = batch.mean(&(&q - target).square()) * (0.5 * self.spec.members as f64);
        CriticLoss {
            report: scalar::report((&loss).into(), &q.detach(), target, batch),
            loss,
        }
    }

    fn actor_objective(&self) -> ActorObjective {
        ActorObjective::first(self.spec.actor_value)
    }
}
