//! The bodies of policies and critics, hidden layers and a linear output: [`Body`].

use sac_kernels::Activation;
use sac_policy::Value;
use tch::Tensor;

use super::{Activations, linear::MemberLinear, params::Params, tracer::Tracer};
use crate::{error::Result, noise::Stream};

/// Upper limits of layers or blocks, and of units, far beyond use.
pub(super) const MOST_LAYERS: usize = 64;
pub(super) const WIDTHS: std::ops::RangeInclusive<i64> = 1..=65_536;

/// A network body: hidden layers and a linear output, for one network or an ensemble of `E`.
///
/// The implementations in this folder are the definitions. [`crate::fused`] computes some of them faster. The
/// implementation is chosen when the network is built.
pub trait Body: Send {
    /// The outputs at `x [B, in]`: `[B, out]`, or `[E, B, out]` of an ensemble. With a `stream`, dropout is active.
    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor;

    /// Applies `value_of` to the outputs at `x [B, in]`. It returns one number per row, `[B]`, that depends on that row
    /// alone. Gradients reach `x`.
    fn value(&self, params: &Params, x: &Tensor, stream: &mut Stream, value_of: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
        value_of(&self.forward(params, x, Some(stream)))
    }

    /// The outputs at `x [B, in]` for acting, always in `f32`.
    fn act(&self, params: &Params, x: &Tensor) -> Tensor {
        self.forward(params, x, None)
    }

    /// Adds a single network to a graph: its outputs `[out]` at `x [in]`, without dropout.
    ///
    /// # Errors
    /// When a parameter is not finite.
    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value>;

    /// Records the activations of the hidden layers and the features of the last layer at `x [B, in]`, without dropout.
    fn inspect(&self, params: &Params, x: &Tensor, activations: &mut Activations);

    /// Multiply-adds of all members for one sample.
    fn multiply_adds(&self) -> i64;

    /// Whether a pass that learns normalises over its batch, so that the rows of a batch depend on each other.
    fn normalizes_by_batch(&self) -> bool {
        false
    }

    /// The layers, if the body consists of linear layers and activations only.
    fn plain_layers(&self) -> Option<PlainLayers<'_>> {
        None
    }
}

/// The layers of a body that consists of linear layers with an activation between them.
pub struct PlainLayers<'a> {
    /// The linear layers, the output's last.
    pub linear: Vec<&'a MemberLinear>,
    /// The activation of the hidden layers.
    pub activation: Activation,
    /// Whether this is a single network, whose outputs have no member dimension.
    pub is_single: bool,
}
