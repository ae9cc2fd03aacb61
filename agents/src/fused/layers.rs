//! The fused form of a network body: [`Layers`].

use std::ops::Range;

use sac_kernels::bfloat16::Bfloat16;
use tch::Tensor;

use super::{
    chain::{Chain, ChainTape},
    dense::{Dense, Tape},
};
use crate::{
    compute::Compute,
    nn::{Body, Params},
    noise::Stream,
};

/// A network whose passes are computed over slices.
#[derive(Clone)]
pub(crate) enum Layers {
    /// Linear layers and activations. Threads share the rows of a member.
    Dense(Dense),
    /// Also normalisation, dropout and residual blocks. Threads share the members.
    Chain(Chain),
}

/// The values that a forward pass keeps for the backward pass.
pub(crate) enum LayersTape {
    Dense(Tape),
    Chain(ChainTape),
}

impl Layers {
    /// The fused form of `body`, if it has one.
    pub(crate) fn of(body: &dyn Body, compute: &Compute, rounding: Option<Bfloat16>) -> Option<Self> {
        let operations = body.operations()?;
        let dense = Dense::of(&operations, compute, rounding).map(Layers::Dense);
        dense.or_else(|| Chain::of(&operations, compute, rounding).map(Layers::Chain))
    }

    /// Whether `params` consists of the parameters of these layers only, so that the backward pass gives the whole
    /// gradient.
    pub(crate) fn covers(&self, params: &Params) -> bool {
        match self {
            Layers::Dense(dense) => dense.covers(params),
            Layers::Chain(chain) => chain.covers(params),
        }
    }

    /// Whether gradients are to reach the parameters.
    pub(super) fn learns(&self, params: &Params) -> bool {
        match self {
            Layers::Dense(dense) => dense.learns(params),
            Layers::Chain(chain) => chain.learns(params),
        }
    }

    /// Whether a pass with a stream draws from it.
    pub(super) fn draws(&self) -> bool {
        matches!(self, Layers::Chain(chain) if chain.draws())
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        match self {
            Layers::Dense(dense) => dense.inputs(),
            Layers::Chain(chain) => chain.inputs(),
        }
    }

    /// The outputs `[E, B, out]` at `x [B, in]`, or `[B, out]` of a single network, detached. With a `stream`, dropout
    /// is active.
    pub(crate) fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        match self {
            Layers::Dense(dense) => dense.forward(params, x),
            Layers::Chain(chain) => chain.forward(params, x, stream),
        }
    }

    /// [`Layers::forward`] in `f32`, without dropout.
    pub(crate) fn forward_in_f32(&self, params: &Params, x: &Tensor) -> Tensor {
        match self {
            Layers::Dense(dense) => dense.forward_in_f32(params, x),
            Layers::Chain(chain) => chain.in_f32().forward(params, x, None),
        }
    }

    /// [`Layers::forward`], with a tape for the backward pass.
    pub(crate) fn forward_taped(
        &self,
        params: &Params,
        x: &Tensor,
        stream: Option<&mut Stream>,
    ) -> (Tensor, LayersTape) {
        match self {
            Layers::Dense(dense) => {
                let (out, tape) = dense.forward_taped(params, x);
                (out, LayersTape::Dense(tape))
            }
            Layers::Chain(chain) => {
                let (out, tape) = chain.forward_taped(params, x, stream);
                (out, LayersTape::Chain(tape))
            }
        }
    }

    /// Computes the outputs `[E, B, out]` at `x [B, in]`, and writes the gradient `[P]` of the sum of the members'
    /// losses to `gradient`. Returns the outputs, and the results of `loss` by member.
    ///
    /// `loss` is called with a member's index and outputs `[B, out]`, and writes their gradient to its third argument.
    pub(crate) fn forward_backward<R: Send>(
        &self,
        params: &Params,
        x: &Tensor,
        stream: &mut Stream,
        gradient: &mut [f32],
        loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
    ) -> (Tensor, Vec<R>) {
        match self {
            Layers::Dense(dense) => dense.forward_backward(params, x, gradient, loss),
            Layers::Chain(chain) => chain.forward_backward(params, x, stream, gradient, loss),
        }
    }
}

impl LayersTape {
    /// Computes the gradient `[P]` with respect to the parameters from the gradient `of_out` with respect to the
    /// outputs, `[E, B, out]` or `[B, out]`, and writes it to `gradient` in the order of the layout.
    pub(crate) fn to_params(&self, params: &Params, of_out: &[f32], gradient: &mut [f32]) {
        match self {
            LayersTape::Dense(tape) => tape.to_params(params, of_out, gradient),
            LayersTape::Chain(tape) => tape.to_params(params, of_out, gradient),
        }
    }

    /// Computes the gradient `[B, columns]` with respect to some columns of the input, summed over members.
    pub(crate) fn to_input(&self, params: &Params, of_out: &[f32], columns: Range<usize>) -> Vec<f32> {
        match self {
            LayersTape::Dense(tape) => tape.to_input(params, of_out, columns),
            LayersTape::Chain(tape) => tape.to_input(params, of_out, columns),
        }
    }
}
