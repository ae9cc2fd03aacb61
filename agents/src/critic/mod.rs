//! Critics: the trait [`Critic`] for the equations, and [`LearnedCritic`] for the learned state.
//!
//! A critic defines the functions that it learns ([`FunctionSpec`]), their targets and losses, and the actor's
//! objective. [`ValueFunction`] contains networks, target parameters, optimisers, filters and checkpoints, so that a
//! new critic is a single file with its equations.

pub mod categorical;
mod combination;
pub mod dsac;
pub mod dsac_t;
mod gaussian;
mod learned;
mod network;
mod objective;
pub mod quantile;
pub mod scalar;
mod spec;
pub mod state_value;
mod statistics;
mod support;
pub mod target_filter;
mod value_function;

use tch::Tensor;

pub use categorical::{CategoricalCritic, CategoricalCriticSpec, CategoricalTarget};
pub use combination::Combination;
pub use dsac::{DsacCritic, DsacSpec};
pub use dsac_t::{DsacTCritic, DsacTSpec};
pub use gaussian::Gaussians;
pub use learned::LearnedCritic;
pub use network::{Companions, Network, NetworkContext};
pub use objective::{ActorObjective, MemberValue};
pub use quantile::{QuantileCritic, QuantileSpec};
pub use scalar::{ScalarCritic, ScalarSpec};
pub use spec::{CriticSettings, CriticSpec};
pub use state_value::{StateValueCritic, StateValueSpec};
pub use statistics::Statistics;
pub use support::Support;
pub use target_filter::{TargetFilter, TargetFilterSpec};
pub use value_function::{FunctionInput, FunctionSpec, TargetFunction, ValueFunction};

use crate::{
    batch::Batch,
    noise::Stream,
    policy::{ActionDraw, Policy},
    report::UpdateReport,
};

/// The inputs of a critic's step besides its own functions.
pub struct CriticStep<'a> {
    /// Transitions, with actions encoded for the critic.
    pub batch: &'a Batch,
    /// The policy before its own step.
    pub policy: &'a Policy,
    /// α, a scalar.
    pub alpha: &'a Tensor,
}

/// A critic's loss and its metrics.
pub struct CriticLoss {
    /// A scalar, attached to the autograd graph.
    pub loss: Tensor,
    /// Metrics, and TD errors if rows are weighted.
    pub report: UpdateReport,
}

/// The equations of a critic. An implementation has no learned state.
pub trait Critic: Send {
    /// The functions that it learns. The first is the action value Q that the actor maximises.
    fn functions(&self) -> Vec<FunctionSpec>;

    /// Names and shapes of its running statistics, for example a standard deviation over past batches.
    fn statistics(&self) -> Vec<(&'static str, Vec<i64>)> {
        Vec::new()
    }

    /// Targets of the action value for a batch and its next actions, in the form that [`Critic::loss`] takes. Called
    /// without gradient tracking.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor>;

    /// The loss of the action value, from its outputs `[E, B, K]` and targets. May update the statistics.
    fn loss(&self, out: &Tensor, targets: &[Tensor], statistics: &mut Statistics, batch: &Batch) -> CriticLoss;

    /// Makes one optimiser step of every function. The default makes one step of Q, and draws the next actions from
    /// `stream` before anything else.
    fn learn(
        &self,
        functions: &mut [ValueFunction],
        statistics: &mut Statistics,
        step: &CriticStep,
        stream: &mut Stream,
    ) -> UpdateReport {
        let next = step.policy.draw_next(step.batch, stream);
        let targets = tch::no_grad(|| self.targets(functions, step, &next, stream));
        let mut report = UpdateReport::default();
        functions[0].minimize(step.batch, &next, stream, |out| {
            let CriticLoss { loss, report: of_loss } = self.loss(out, &targets, statistics, step.batch);
            report = of_loss;
            loss
        });
        report
    }

    /// The objective that the actor maximises.
    fn actor_objective(&self) -> ActorObjective;
}
