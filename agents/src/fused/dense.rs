//! Passes of a perceptron over slices, derived by hand: [`Dense`].
//!
//! For fully connected layers in `f32` on a CPU, without normalisation and dropout. [`crate::nn::Mlp`] is the definition;
//! `agents/tests/fused.rs` holds the two together.
//!
//! ```text
//! forward     h_0 = x;   z_l = h_{l−1} W_l + b_l;   h_l = φ(z_l);   out = z_L
//! backward    g_L = ∂loss/∂out;   ∂W_l = h_{l−1}ᵀ g_l;   ∂b_l = Σ_B g_l;   g_{l−1} = (g_l W_lᵀ) ⊙ φ'(z_{l−1})
//! ```
//!
//! Shapes: x `[B, in]`, shared by the members; z, h, g `[E, B, width]`; W `[E, in, out]`; b `[E, 1, out]`.
//!
//! A member, or some rows of it, goes through all layers on one thread before the next begins: the output of a layer is
//! still in the cache when the next reads it, and threads wait for each other once per pass. No number depends on how the
//! work is divided.

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
    nn::{Mlp, ParamIndex, Params},
};

thread_local! {
    /// Room for a packed right side, kept between products.
    static PACKED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Room for what one layer hands to the next.
    static SCRATCH: RefCell<[Vec<f32>; 4]> = const { RefCell::new([const { Vec::new() }; 4]) };
}

/// Where the parameters of a layer lie, and its extents.
#[derive(Clone, Copy, Debug)]
struct DenseLayer {
    weight: ParamIndex,
    bias: ParamIndex,
    inputs: usize,
    outputs: usize,
}

/// The layers of a perceptron, and how its passes are computed.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    layers: Vec<DenseLayer>,
    activation: Activation,
    /// Whether there is one network, whose results have no dimension for members.
    is_single: bool,
    threads: ThreadPool,
    /// How factors of products are rounded, if they are.
    rounding: Option<Bfloat16>,
}

/// What a forward pass keeps for the backward pass.
pub(crate) struct Tape {
    dense: Dense,
    /// `[B, in]`.
    input: Tensor,
    /// Of each hidden layer: φ'(z) `[E, B, width]`, except for ReLU, whose derivative follows from h; and h.
    hidden: Vec<(Option<Tensor>, Tensor)>,
    rounding: Option<Bfloat16>,
}

impl Dense {
    /// For the layers of `mlp`; `None` if there is more to it than linear layers and activations.
    pub(crate) fn of(mlp: &Mlp, compute: &Compute, rounding: Option<Bfloat16>) -> Option<Self> {
        let layer = |layer: &crate::nn::mlp::Layer| DenseLayer {
            weight: layer.weight,
            bias: layer.bias,
            inputs: layer.inputs as usize,
            outputs: layer.outputs as usize,
        };
        mlp.is_plain().then(|| Dense {
            layers: mlp.layers.iter().map(layer).collect(),
            activation: mlp.activation,
            is_single: mlp.members.is_none(),
            threads: compute.threads.clone(),
            rounding,
        })
    }

    /// Whether these parameters are those of the layers and no others: then the gradient by all of them is known.
    pub(crate) fn covers(&self, params: &Params) -> bool {
        params.count() == 2 * self.layers.len()
    }

    /// Whether gradients are to reach the parameters.
    pub(super) fn learns(&self, params: &Params) -> bool {
        params.learns(self.layers[0].weight)
    }

    /// Width of a sample.
    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Rounding of passes with these parameters: only in a network that is fused as a whole, so that no network learns
    /// with one precision and is read with another.
    fn rounding_with(&self, params: &Params) -> Option<Bfloat16> {
        self.rounding.filter(|_| self.covers(params))
    }

    /// Whether the backward pass needs φ'(z) kept: that of ReLU follows from h.
    fn keeps_derivatives(&self) -> bool {
        self.activation != Activation::Relu
    }

    fn members<'a>(&self, params: &'a Params) -> Members<'a> {
        Members::of(&self.layers, params)
    }

    /// Rows of a member per part, so that all threads have work. Results do not depend on it.
    fn rows_per_part(&self, members: usize, rows: usize) -> usize {
        let parts = self.threads.threads().div_ceil(members);
        rows.div_ceil(parts).next_multiple_of(VECTORS).min(rows).max(1)
    }
}

/// Parts of rows end where vectors of any width do.
const VECTORS: usize = 64;

/// A layer of one member.
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

/// Gradients of a member's parameters, layer by layer: weight, bias.
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

    /// E.
    fn count(&self) -> usize {
        self.0.len()
    }

    /// A gradient `[P]` by member and layer.
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

/// The part of the given index, of parts with `len` values each.
fn nth(values: &[f32], index: usize, len: usize) -> &[f32] {
    &values[index * len..(index + 1) * len]
}

/// Room for `len` values, whatever is in it.
fn room(room: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if room.len() < len {
        room.resize(len, 0.0);
    }
    &mut room[..len]
}

/// A product, with its factors rounded if they are to be.
fn multiply(rounding: Option<Bfloat16>, left: Matrix, right: Matrix, out: &mut [f32], finish: Finish) {
    match rounding.filter(|processor| processor.serves(right.depth(), right.columns())) {
        None => product(left, right, out, finish),
        // Two threads that share a right side both pack it: that takes less time than to wait for each other.
        Some(processor) => PACKED.with_borrow_mut(|packed| {
            product_packed(left, Packed::new(processor, right, packed), out, finish);
        }),
    }
}
