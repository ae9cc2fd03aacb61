//! The interface of distributions over actions: [`PolicyHead`].

use sac_policy::Value;
use tch::{Device, Tensor};

use super::action::{ActionDraw, ActionKind};
use crate::{
    error::{Error, Result},
    nn::{ParamLayout, Params, Tracer},
    noise::Stream,
    schedule::GradSteps,
};

/// A distribution over actions, whose parameters are the outputs of the policy's body.
pub trait PolicyHead: Send {
    /// Adds the head's own learned parameters to the policy's block. Most heads have none.
    fn add_parameters(&mut self, _layout: &mut ParamLayout) {}

    /// Number of inputs per observation.
    fn inputs(&self) -> i64;

    /// The inputs in parts of one meaning each, such as means and log σ: their numbers, in order. Together they are
    /// [`PolicyHead::inputs`]. Some bodies compute every part by layers of its own.
    fn parts(&self) -> Vec<i64> {
        vec![self.inputs()]
    }

    /// Whether its inputs are followed by the F features of the body's last layer: `[B, inputs() + F]` in all.
    fn reads_features(&self) -> bool {
        false
    }

    /// The representation of its actions for critics.
    fn actions(&self) -> ActionKind;

    /// Draws the random numbers `[rows, …]` for `rows` actions.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor;

    /// Actions as a differentiable function of `inputs [B, inputs()]`, for given noise (reparameterised).
    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw;

    /// Actions `[B, A]` for exploration, as the environment takes them: normalised for a box, indices otherwise.
    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor;

    /// Draws the random numbers `[rows, …]` that exploration holds over several steps. Most heads hold those of a single
    /// action.
    fn noise_to_hold(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        self.noise(rows, stream, device)
    }

    /// [`PolicyHead::explore`] with numbers of [`PolicyHead::noise_to_hold`].
    fn explore_holding(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        self.explore(params, inputs, noise)
    }

    /// Actions `[B, A]` without exploration, as the environment takes them.
    fn mode(&self, params: &Params, inputs: &Tensor) -> Tensor;

    /// Mean `[B, A]` and log σ, `[B, A]` or `[A]`, before squashing, of a squashed Gaussian; `None` of other heads.
    fn gaussian(&self, _params: &Params, _inputs: &Tensor) -> Option<(Tensor, Tensor)> {
        None
    }

    /// Adds the head to a graph: actions `[A]` as the environment takes them, for inputs `[inputs()]`. They are those of
    /// [`PolicyHead::mode`], or with `is_drawn` those of [`PolicyHead::explore`] with the noise of the graph.
    ///
    /// # Errors
    /// [`Error::NotExportable`] of a head that does not say what it computes; when a parameter is not finite.
    fn trace(&self, _tracer: &mut Tracer, _inputs: Value, _is_drawn: bool) -> Result<Value> {
        Err(Error::NotExportable("this policy head".to_string()))
    }

    /// Encodes actions `[B, A]` of the environment for critics: `[B, W]`, or indices `[B, 1]` of enumerated actions.
    fn encode(&self, actions: &Tensor) -> Tensor {
        actions.shallow_clone()
    }

    /// Sets annealed settings to their values after `at` gradient steps.
    fn anneal(&mut self, _at: GradSteps) {}
}
