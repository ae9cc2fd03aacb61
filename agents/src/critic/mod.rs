//! What actions are worth: [`CriticSpec`], [`Critic`].
//!
//! A critic owns its representation, its loss, how its members combine, its targets and its optimiser: those belong to
//! one paper, hence to one file.

pub mod scalar;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

pub use scalar::{ScalarCritic, ScalarSpec};

use crate::{
    agent::UpdateReport, batch::Batch, checkpoint::Section, encoder::EncoderSpec, error::Result, nn::BodySpec,
    noise::Stream, policy::ActionDraw, schedule::GradSteps, target::TargetSpec,
};

/// Which critic. Default: scalar, two members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CriticSpec {
    /// One number per state and action, several members.
    Scalar(ScalarSpec),
}

impl Default for CriticSpec {
    fn default() -> Self {
        CriticSpec::Scalar(ScalarSpec::default())
    }
}

/// A critic with its targets and its optimiser.
pub trait Critic: Send {
    /// One step towards the soft Bellman target. `next` is drawn at `batch.next_obs` and has no history; `alpha` is a
    /// scalar.
    fn learn(&mut self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> UpdateReport;

    /// What the actor climbs: the value `[B]` of `action [B, A]` at `obs [B, …]`. Gradients reach the action and not
    /// the critic's parameters.
    fn actor_value(&self, obs: &Tensor, action: &Tensor) -> Tensor;

    /// Moves the targets. `at` counts gradient steps, this one included.
    fn follow(&mut self, rule: TargetSpec, at: GradSteps);

    /// Whether every learned parameter is a finite number. Waits for the device.
    fn is_finite(&self) -> bool;

    /// Number of learned parameters, targets not counted.
    fn parameter_count(&self) -> i64;

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

impl CriticSpec {
    /// Builds the critic; initial weights come from `init`.
    pub fn build(
        &self,
        encoder: &EncoderSpec,
        body: &BodySpec,
        spaces: (&Space, &Space),
        init: &mut Stream,
        device: Device,
    ) -> Box<dyn Critic> {
        match self {
            CriticSpec::Scalar(spec) => Box::new(ScalarCritic::build(spec, encoder, body, spaces, init, device)),
        }
    }
}
