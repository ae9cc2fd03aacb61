//! What actions are worth: [`CriticSpec`], [`Critic`].
//!
//! A critic owns its representation, its loss, how its members combine, its targets and its optimiser: those belong to
//! one paper, hence to one file.

mod combination;
pub mod dsac;
pub mod dsac_t;
mod gaussian;
mod network;
pub mod quantile;
pub mod scalar;
pub mod state_value;
pub mod target_filter;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

pub use combination::Combination;
pub use dsac::{DsacCritic, DsacSpec};
pub use dsac_t::{DsacTCritic, DsacTSpec};
pub use gaussian::Gaussians;
pub use network::{Climbed, Network, Slope};
pub use quantile::{QuantileCritic, QuantileSpec};
pub use scalar::{ScalarCritic, ScalarSpec};
pub use state_value::{StateValueCritic, StateValueSpec};
pub use target_filter::{TargetFilter, TargetFilterSpec};

use crate::{
    agent::UpdateReport,
    batch::Batch,
    checkpoint::Section,
    encoder::EncoderSpec,
    error::Result,
    nn::{BodySpec, ParamBlock, Products, Trainable},
    noise::Stream,
    policy::{ActionDraw, ActionKind, Policy},
    schedule::GradSteps,
    spec_check::SpecProblems,
    target::TargetSpec,
};

/// Which critic. Default: scalar, two members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CriticSpec {
    /// One number per state and action, several members.
    Scalar(ScalarSpec),
    /// A normal distribution of the soft return, learned from samples of its target.
    Dsac(DsacSpec),
    /// Twin normal distributions of the soft return, with the three refinements of DSAC-T.
    DsacT(DsacTSpec),
    /// Quantiles of the soft return, the largest of which are left out of the target.
    Quantile(QuantileSpec),
    /// A value of states beside action values, as in SAC's first version.
    StateValue(StateValueSpec),
}

impl Default for CriticSpec {
    fn default() -> Self {
        CriticSpec::Scalar(ScalarSpec::default())
    }
}

/// A critic with its targets and its optimiser.
pub trait Critic: Send {
    /// One step towards the soft Bellman target. Next actions come from [`Policy::draw_next`], which must be what draws
    /// from `noise` first; `alpha` is a scalar, or one for every row. The actions of the batch are in the critic's coordinates.
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport;

    /// What the actor climbs.
    fn climbed(&self) -> Climbed<'_>;

    /// Its value `[B]` for `draw` at `obs [B, …]`. Gradients reach the draw and not the critic's parameters.
    fn actor_value(&self, obs: &Tensor, draw: &ActionDraw, noise: &mut Stream) -> Tensor {
        self.climbed().value(obs, draw, noise)
    }

    /// The same for drawn `action` `[B, W]` without autograd, and with its gradient; `None` where that cannot be.
    fn slope(&self, obs: &Tensor, action: &Tensor) -> Option<Slope> {
        self.climbed().slope(obs, action)
    }

    /// Moves the targets, which are due.
    fn follow(&mut self, rule: TargetSpec);

    /// From now on its optimisers count their steps on the device: see [`crate::nn::Trainable::count_on_device`].
    fn count_on_device(&mut self);

    /// What learning changes, for [`crate::soft_actor_critic::stack`]; `None` where a critic cannot be of several replicates at once.
    fn state(&mut self) -> Option<CriticState<'_>> {
        None
    }

    /// Moves what is annealed to its value after so many gradient steps.
    fn anneal(&mut self, _at: GradSteps) {}

    /// From now on its networks make the products of passes by hand like this.
    fn set_products(&mut self, products: Products);

    /// Whether every learned parameter is a finite number. Waits for the device.
    fn is_finite(&self) -> bool;

    /// Number of learned parameters, targets not counted.
    fn parameter_count(&self) -> i64;

    /// Multiply-adds for one observation and action, of all that learns.
    fn multiply_adds(&self) -> i64;

    /// The block that begins with the encoder which a policy may share.
    fn encoder_block(&self) -> &ParamBlock;

    /// The network of action values in that block, for those who look inside; none where a critic is made otherwise.
    fn network(&self) -> Option<&Network> {
        None
    }

    /// The section `critic`.
    ///
    /// # Errors
    /// When a value cannot be written down.
    fn section(&self) -> Result<Section<'static>>;

    /// Takes back what [`Critic::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit.
    fn load(&mut self, section: &Section) -> Result<()>;
}

/// What learning changes in a critic.
pub struct CriticState<'a> {
    /// What learns.
    pub online: &'a mut Trainable,
    /// What trails behind.
    pub target: &'a mut ParamBlock,
    /// A running statistic `[E, R]`, where there is one; none in it before the first update.
    pub statistic: Option<&'a mut Option<Tensor>>,
}

/// What a critic is built for.
pub struct CriticContext<'a> {
    /// From observations to features.
    pub encoder: &'a EncoderSpec,
    /// Hidden layers.
    pub body: &'a BodySpec,
    /// What is observed.
    pub observation: &'a Space,
    /// How actions arrive.
    pub actions: ActionKind,
    /// Discount per env step.
    pub gamma: f64,
    /// How fast targets follow, for statistics that follow at the same rate.
    pub targets: TargetSpec,
    /// Where everything lives.
    pub device: Device,
}

impl CriticSpec {
    /// Builds the critic; initial weights come from `init`.
    pub fn build(&self, context: &CriticContext, init: &mut Stream) -> Box<dyn Critic> {
        match self {
            CriticSpec::Scalar(spec) => Box::new(ScalarCritic::build(spec, context, init)),
            CriticSpec::Dsac(spec) => Box::new(DsacCritic::build(spec, context, init)),
            CriticSpec::DsacT(spec) => Box::new(DsacTCritic::build(spec, context, init)),
            CriticSpec::Quantile(spec) => Box::new(QuantileCritic::build(spec, context, init)),
            CriticSpec::StateValue(spec) => Box::new(StateValueCritic::build(spec, context, init)),
        }
    }

    /// Values that are out of their range, keys from `agent` on.
    pub(crate) fn check(&self, problems: &mut SpecProblems) {
        match self {
            CriticSpec::Scalar(spec) => spec.check(problems),
            CriticSpec::Dsac(spec) => spec.check(problems),
            CriticSpec::DsacT(spec) => spec.check(problems),
            CriticSpec::Quantile(spec) => spec.check(problems),
            CriticSpec::StateValue(spec) => spec.check(problems),
        }
    }

    /// What a file calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            CriticSpec::Scalar(_) => "scalar",
            CriticSpec::Dsac(_) => "dsac",
            CriticSpec::DsacT(_) => "dsac_t",
            CriticSpec::Quantile(_) => "quantile",
            CriticSpec::StateValue(_) => "state_value",
        }
    }

    /// Whether it can score actions that are enumerated: a policy's probabilities instead of its draws.
    pub fn enumerates(&self) -> bool {
        match self {
            // A filter averages over neighbours of a drawn action; enumerated ones have none.
            CriticSpec::Scalar(spec) => spec.target_filter.is_none(),
            CriticSpec::StateValue(_) => true,
            // Samples of distributions and sorted atoms have no expectation over actions here.
            CriticSpec::Dsac(_) | CriticSpec::DsacT(_) | CriticSpec::Quantile(_) => false,
        }
    }

    /// The filter over the action of the target, if there is one.
    pub fn target_filter(&self) -> Option<&TargetFilterSpec> {
        match self {
            CriticSpec::Scalar(spec) => spec.target_filter.as_ref(),
            CriticSpec::Dsac(spec) => spec.target_filter.as_ref(),
            CriticSpec::DsacT(spec) => spec.target_filter.as_ref(),
            CriticSpec::Quantile(spec) => spec.target_filter.as_ref(),
            // Its target is a value of states: there is no action to filter over.
            CriticSpec::StateValue(_) => None,
        }
    }
}
