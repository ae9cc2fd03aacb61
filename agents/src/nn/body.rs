//! The bodies of policies and critics, hidden layers and a linear output: [`Body`].

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use tch::Tensor;

use super::{
    Activations,
    linear::MemberLinear,
    norm::{BatchNorm, MemberLayerNorm, RmsNorm},
    params::Params,
    tracer::Tracer,
};
use crate::{error::Result, noise::Stream};

/// Upper limits of layers or blocks, and of units, far beyond use.
pub(super) const MOST_LAYERS: usize = 64;
pub(super) const WIDTHS: std::ops::RangeInclusive<i64> = 1..=65_536;

/// A network body: hidden layers, which give features, and a linear output, for one network or an ensemble of `E`.
///
/// The implementations in this folder are the definitions. [`crate::fused`] computes some of them faster. The
/// implementation is chosen when the network is built.
pub trait Body: Send {
    /// The features of the last hidden layer at `x [B, in]`: `[B, F]`, or `[E, B, F]` of an ensemble. With a `stream`,
    /// dropout is active. Hidden units are recorded in `activations`, if they are given.
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        stream: Option<&mut Stream>,
        activations: Option<&mut Activations>,
    ) -> Tensor;

    /// The outputs for features: `[B, out]`, or `[E, B, out]` of an ensemble.
    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor;

    /// The outputs at `x [B, in]`: `[B, out]`, or `[E, B, out]` of an ensemble. With a `stream`, dropout is active.
    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        self.outputs(params, &self.features(params, x, stream, None))
    }

    /// Applies `value_of` to the outputs at `x [B, in]`. It returns one number per row, `[B]`, that depends on that row
    /// alone. Gradients reach `x`.
    fn value(&self, params: &Params, x: &Tensor, stream: &mut Stream, value_of: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
        value_of(&self.forward(params, x, Some(stream)))
    }

    /// The outputs at `x [B, in]` for acting, always in `f32`.
    fn act(&self, params: &Params, x: &Tensor) -> Tensor {
        self.forward(params, x, None)
    }

    /// Adds the hidden layers of a single network to a graph: features `[F]` at `x [in]`, without dropout.
    ///
    /// # Errors
    /// When a parameter is not finite.
    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value>;

    /// Adds the output of a single network to a graph: `[out]` for features `[F]`.
    ///
    /// # Errors
    /// As [`Body::trace_features`].
    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value>;

    /// Adds a single network to a graph: its outputs `[out]` at `x [in]`, without dropout.
    ///
    /// # Errors
    /// As [`Body::trace_features`].
    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let features = self.trace_features(tracer, x)?;
        self.trace_outputs(tracer, features)
    }

    /// Records the activations of the hidden layers and the features of the last layer at `x [B, in]`, without dropout.
    fn inspect(&self, params: &Params, x: &Tensor, activations: &mut Activations) {
        let features = self.features(params, x, None, Some(&mut *activations));
        activations.features = Some(features);
    }

    /// The linear layers in the order of a pass.
    fn linear_layers(&self) -> Vec<&MemberLinear>;

    /// Multiply-adds of all members for one sample.
    fn multiply_adds(&self) -> i64 {
        self.linear_layers().into_iter().map(MemberLinear::multiply_adds).sum()
    }

    /// Whether a pass that learns normalises over its batch, so that the rows of a batch depend on each other.
    fn normalizes_by_batch(&self) -> bool {
        false
    }

    /// The operations of a pass in their order, for other implementations; `None` if they are not all listed in
    /// [`Operation`].
    fn operations(&self) -> Option<Vec<Operation<'_>>> {
        None
    }
}

/// A body whose outputs are followed by the features that they are computed from: `[…, out + F]`.
pub struct WithFeatures(pub Box<dyn Body>);

impl Body for WithFeatures {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        stream: Option<&mut Stream>,
        activations: Option<&mut Activations>,
    ) -> Tensor {
        self.0.features(params, x, stream, activations)
    }

    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor {
        Tensor::cat(&[&self.0.outputs(params, features), features], -1)
    }

    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        self.0.trace_features(tracer, x)
    }

    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        let outputs = self.0.trace_outputs(tracer, features)?;
        tracer.add(Op::Concatenate { axis: 0 }, &[outputs, features])
    }

    fn linear_layers(&self) -> Vec<&MemberLinear> {
        self.0.linear_layers()
    }

    fn normalizes_by_batch(&self) -> bool {
        self.0.normalizes_by_batch()
    }
}

/// An operation of a body's pass.
#[derive(Clone, Copy)]
pub enum Operation<'a> {
    /// A linear layer.
    Linear(&'a MemberLinear),
    /// An activation function.
    Activate(Activation),
    /// Dropout with this probability, in passes with a stream.
    Dropout(f64),
    /// Batch normalisation.
    BatchNorm(&'a BatchNorm),
    /// Layer normalisation.
    LayerNorm(&'a MemberLayerNorm),
    /// RMS normalisation.
    RmsNorm(&'a RmsNorm),
    /// The start of a residual block. Blocks are not nested.
    BeginBlock,
    /// The end of a residual block: adds its input.
    EndBlock,
}
