//! A distribution over actions: [`PolicyHead`].

use tch::{Device, Tensor};

use super::action::{ActionDraw, ActionKind};
use crate::{
    nn::{ParamLayout, Params},
    noise::Stream,
    schedule::GradSteps,
};

/// A distribution over actions, given numbers from the policy's body.
pub trait PolicyHead: Send {
    /// Adds learned parameters of its own to the policy's block. Most heads have none.
    fn add_parameters(&mut self, _layout: &mut ParamLayout) {}

    /// How many numbers per observation it reads.
    fn inputs(&self) -> i64;

    /// How critics are to see its actions.
    fn actions(&self) -> ActionKind;

    /// The random numbers `[rows, …]` that `rows` draws take.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor;

    /// Actions as a differentiable function of `inputs [B, inputs()]`, given their noise.
    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw;

    /// Actions `[B, A]` for exploration, as the environment takes them: normalised for a box, indices otherwise.
    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor;

    /// Actions `[B, A]` without exploration, as the environment takes them.
    fn mode(&self, params: &Params, inputs: &Tensor) -> Tensor;

    /// Actions `[B, A]` as the environment takes them, in the form that critics take: `[B, W]`, or indices `[B, 1]` where
    /// they are enumerated.
    fn encode(&self, actions: &Tensor) -> Tensor {
        actions.shallow_clone()
    }

    /// Moves annealed settings to their values after `at` gradient steps.
    fn anneal(&mut self, _at: GradSteps) {}
}
