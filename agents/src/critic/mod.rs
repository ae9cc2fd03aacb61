//! What actions are worth: [`Critic`], the equations of one paper, and [`LearnedCritic`], which holds what they learn.
//!
//! A critic says which functions it learns ([`FunctionSpec`]), what their targets and losses are, and what the actor
//! maximises. Networks, target parameters, optimisers, filters and checkpoints belong to [`ValueFunction`], so that a new
//! critic is one file of its equations.

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
pub mod target_filter;
mod value_function;

use tch::Tensor;

pub use combination::Combination;
pub use dsac::{DsacCritic, DsacSpec};
pub use dsac_t::{DsacTCritic, DsacTSpec};
pub use gaussian::Gaussians;
pub use learned::LearnedCritic;
pub use network::{Network, NetworkContext};
pub use objective::ActorObjective;
pub use quantile::{QuantileCritic, QuantileSpec};
pub use scalar::{ScalarCritic, ScalarSpec};
pub use spec::CriticSpec;
pub use state_value::{StateValueCritic, StateValueSpec};
pub use statistics::Statistics;
pub use target_filter::{TargetFilter, TargetFilterSpec};
pub use value_function::{FunctionInput, FunctionSpec, ValueFunction};

use crate::{
    batch::Batch,
    noise::Stream,
    policy::{ActionDraw, Policy},
    report::UpdateReport,
};

/// What a step of the critic sees besides its own functions.
pub struct CriticStep<'a> {
    /// Transitions; actions in the critic's coordinates.
    pub batch: &'a Batch,
    /// As it stands.
    pub policy: &'a Policy,
    /// α, a scalar.
    pub alpha: &'a Tensor,
}

/// A loss with what is reported of it.
pub struct CriticLoss {
    /// A scalar with its history.
    pub loss: Tensor,
    /// Metrics, and the TD errors where rows are weighted.
    pub report: UpdateReport,
}

/// The equations of a critic. It has no state of its own.
pub trait Critic: Send {
    /// What it learns. The first is the action value Q that the actor maximises.
    fn functions(&self) -> Vec<FunctionSpec>;

    /// Names and shapes of running statistics, such as a spread over past batches.
    fn statistics(&self) -> Vec<(&'static str, Vec<i64>)> {
        Vec::new()
    }

    /// Targets of the action value for `batch`, given the next actions: whatever [`Critic::loss`] needs. No gradient is
    /// recorded.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor>;

    /// The loss of the action value's outputs `[E, B, K]` against the targets.
    fn loss(&self, out: &Tensor, targets: &[Tensor], statistics: &mut Statistics, batch: &Batch) -> CriticLoss;

    /// One step of the optimiser of every function. By default one of Q towards the soft value of the next actions, which
    /// are the first thing drawn from `stream`.
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
        functions[0].minimize(&step.batch.obs, &step.batch.action, stream, |out| {
            let CriticLoss { loss, report: of_loss } = self.loss(out, &targets, statistics, step.batch);
            report = of_loss;
            loss
        });
        report
    }

    /// What the actor maximises.
    fn actor_objective(&self) -> ActorObjective;
}
