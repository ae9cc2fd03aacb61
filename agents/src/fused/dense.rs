//! Forward and backward passes of a multi-layer perceptron over slices: [`Dense`].
//!
//! They support fully connected layers in `f32` on a CPU, without normalisation and dropout. [`crate::nn::Mlp`] is the
//! definition; `agents/tests/fused.rs` compares the two.
//!
//! ```text
//! forward     h_0 = x;   z_l = h_{l−1} W_l + b_l;   h_l = φ(z_l);   out = z_L
//! backward    g_L = ∂loss/∂out;   ∂W_l = h_{l−1}ᵀ g_l;   ∂b_l = Σ_B g_l;   g_{l−1} = (g_l W_lᵀ) ⊙ φ'(z_{l−1})
//! ```
//!
//! Shapes: x `[B, in]`, shared by the members; z, h, g `[E, B, width]`; W `[E, in, out]`; b `[E, 1, out]`.
//!
//! Work is divided by members, or by ranges of rows of a member. One thread computes all layers of its part, so that
//! the outputs of a layer are still in the cache when the next layer reads them, and threads synchronise once per pass.
//! Results do not depend on the division.

mod backward;
mod forward;
mod forward_backward;

use std::cell::RefCell;

use sac_kernels::{
    Activation, ThreadPool,
    bfloat16::{Bfloat16, Packed, product_packed},
    product::{Finish, Matrix, product},
};
use tch::Tensor;

use crate::{
    compute::Compute,
    nn::{Operation, ParamIndex, Params},
};

thread_local! {
    /// Buffer for a packed right factor, reused by all products.
    static PACKED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Buffers for the values passed from layer to layer.
    pub(super) static SCRATCH: RefCell<[Vec<f32>; 4]> = const { RefCell::new([const { Vec::new() }; 4]) };
}

/// Parameters and extents of a layer.
#[derive(Clone, Copy, Debug)]
struct DenseLayer {
    weight: ParamIndex,
    bias: ParamIndex,
    inputs: usize,
    outputs: usize,
}

impl DenseLayer {
    /// The layer of an operation; `None` if it is not linear, or has no bias.
    fn of(operation: &Operation) -> Option<Self> {
        let Operation::Linear(layer) = operation else {
            return None;
        };
        let ((weight, bias), (inputs, outputs)) = (layer.params(), layer.extents());
        Some(DenseLayer {
            weight,
            bias: bias?,
            inputs: inputs as usize,
            outputs: outputs as usize,
        })
    }
}

/// The layers of a multi-layer perceptron, with the threads and rounding of its passes.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    layers: Vec<DenseLayer>,
    activation: Activation,
    /// Whether this is a single network, whose outputs have no member dimension.
    is_single: bool,
    threads: ThreadPool,
    /// The bfloat16 arithmetic of products; `None` for `f32`.
    rounding: Option<Bfloat16>,
}

/// The values that a forward pass keeps for the backward pass.
pub(crate) struct Tape {
    dense: Dense,
    /// `[B, in]`.
    input: Tensor,
    /// φ'(z) and h of each hidden layer, `[E, B, width]`. φ'(z) is omitted for ReLU, where it follows from h.
    hidden: Vec<(Option<Tensor>, Tensor)>,
    rounding: Option<Bfloat16>,
}

impl Dense {
    /// The fused form of `operations`; `None` unless they are linear layers with one kind of activation between them.
    pub(crate) fn of(operations: &[Operation], compute: &Compute, rounding: Option<Bfloat16>) -> Option<Self> {
        let (linear, activations): (Vec<_>, Vec<_>) = (0..operations.len()).partition(|index| index % 2 == 0);
        let activation = match activations.first().map(|first| operations[*first]) {
            None => Activation::Relu,
            Some(Operation::Activate(activation)) => activation,
            Some(_) => return None,
        };
        let is_activation =
            |index: &usize| matches!(operations[*index], Operation::Activate(other) if other == activation);
        if !activations.iter().all(is_activation) {
            return None;
        }
        let layers = linear.iter().map(|index| DenseLayer::of(&operations[*index]));
        Some(Dense {
            layers: layers.collect::<Option<_>>()?,
            activation,
            is_single: matches!(operations[0], Operation::Linear(layer) if layer.is_single()),
            threads: compute.threads.clone(),
            rounding,
        })
    }

    /// Whether `params` consists of the parameters of these layers only, so that the backward pass gives the whole
    /// gradient.
    pub(crate) fn covers(&self, params: &Params) -> bool {
        params.count() == 2 * self.layers.len()
    }

    /// Whether gradients are to reach the parameters.
    pub(super) fn learns(&self, params: &Params) -> bool {
        params.learns(self.layers[0].weight)
    }

    /// Number of inputs of the first layer.
    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// The rounding of passes with `params`. Only completely fused networks are rounded, because the others learn in
    /// `f32` and must not be evaluated in another precision.
    fn rounding_with(&self, params: &Params) -> Option<Bfloat16> {
        self.rounding.filter(|_| self.covers(params))
    }

    /// Whether φ'(z) is kept for the backward pass. For ReLU it follows from h.
    fn keeps_derivatives(&self) -> bool {
        self.activation != Activation::Relu
    }

    fn members<'a>(&self, params: &'a Params) -> Members<'a> {
        Members::of(&self.layers, params)
    }

    /// Number of rows per part of a member, chosen so that all threads have work. Results do not depend on it.
    fn rows_per_part(&self, members: usize, rows: usize) -> usize {
        let parts = self.threads.threads().div_ceil(members);
        rows.div_ceil(parts).next_multiple_of(VECTORS).min(rows).max(1)
    }
}

/// Row counts of parts are multiples of this, a multiple of every vector width.
const VECTORS: usize = 64;

/// The parameters of a layer of one member.
#[derive(Clone, Copy)]
struct MemberLayer<'a> {
    /// `[in, out]`.
    weight: &'a [f32],
    /// `[out]`.
    bias: &'a [f32],
    inputs: usize,
    outputs: usize,
}

impl<'a> MemberLayer<'a> {
    fn weight(&self) -> Matrix<'a> {
        Matrix::new(self.weight, self.inputs, self.outputs)
    }
}

/// Gradients with respect to weight and bias of each layer of a member.
type MemberGradients<'a> = Vec<(&'a mut [f32], &'a mut [f32])>;

/// The layers of all members.
struct Members<'a>(Vec<Vec<MemberLayer<'a>>>);

impl<'a> Members<'a> {
    fn of(layers: &[DenseLayer], params: &'a Params) -> Self {
        let first = &layers[0];
        let count = params.values(first.bias).len() / first.outputs;
        let of_member = |member: usize| {
            let layer = |layer: &DenseLayer| {
                let DenseLayer { inputs, outputs, .. } = *layer;
                MemberLayer {
                    weight: nth(params.values(layer.weight), member, inputs * outputs),
                    bias: nth(params.values(layer.bias), member, outputs),
                    inputs,
                    outputs,
                }
            };
            layers.iter().map(layer).collect()
        };
        Members((0..count).map(of_member).collect())
    }

    /// E, the number of members.
    fn count(&self) -> usize {
        self.0.len()
    }

    /// Splits a gradient `[P]` by member and layer.
    fn split_gradient<'g>(&self, gradient: &'g mut [f32]) -> Vec<MemberGradients<'g>> {
        let mut by_member: Vec<MemberGradients> = self.0.iter().map(|_| Vec::new()).collect();
        let mut rest = gradient;
        for layer in &self.0[0] {
            let (weights, biases) = (layer.weight.len(), layer.bias.len());
            let (of_weights, others) = rest.split_at_mut(self.count() * weights);
            let (of_biases, later) = others.split_at_mut(self.count() * biases);
            rest = later;
            let pairs = of_weights
                .chunks_exact_mut(weights)
                .zip(of_biases.chunks_exact_mut(biases));
            by_member
                .iter_mut()
                .zip(pairs)
                .for_each(|(member, pair)| member.push(pair));
        }
        by_member
    }
}

/// Part `index` of `values`, where each part has `len` values.
pub(super) fn nth(values: &[f32], index: usize, len: usize) -> &[f32] {
    &values[index * len..(index + 1) * len]
}

/// A buffer of `len` values with unspecified content.
pub(super) fn buffer(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// A matrix product, with factors rounded by `rounding`.
pub(super) fn multiply(rounding: Option<Bfloat16>, left: Matrix, right: Matrix, out: &mut [f32], finish: Finish) {
    match rounding.filter(|processor| processor.serves(right.depth(), right.columns())) {
        None => product(left, right, out, finish),
        // Threads with the same right factor pack it independently, which is faster than synchronising.
        Some(processor) => PACKED.with_borrow_mut(|packed| {
            product_packed(left, Packed::new(processor, right, packed), out, finish);
        }),
    }
}
