//! Passes of a perceptron without autograd: `Dense` goes forward and backward by hand.
//!
//! For what most networks are: fully connected layers in `f32` on the CPU, without normalisation and dropout. Autograd
//! takes every other, and is what the tests hold this to (`agents/tests/explicit.rs`).
//!
//! ```text
//! forward     h_0 = x;   z_l = h_{l−1} W_l + b_l;   h_l = φ(z_l);   out = z_L
//! backward    g_L = ∂loss/∂out;   ∂W_l = h_{l−1}ᵀ g_l;   ∂b_l = Σ_B g_l;   g_{l−1} = (g_l W_lᵀ) ⊙ φ'(z_{l−1})
//! ```
//!
//! Shapes: x `[B, in]`, shared by the members; z, h, g `[E, B, width]`; W `[E, in, out]`; b `[E, 1, out]`.
//!
//! Where parameters are those of R replicates, rows are `[R·B]`, those of each replicate together, and there are R·E units
//! instead of E members: unit e·R + r takes the rows of replicate r and the weights of its member e. So results have the
//! shapes that they have with R·B rows, and every product is the one that the replicate would make alone.
//!
//! A unit, or some rows of one, goes through all layers on one thread before the next is begun: what a layer gives lies near
//! when the next reads it, and threads wait for each other once in a pass. No number depends on how the work is cut up.

mod backward;
mod forward;
mod learning;

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Mutex, PoisonError},
};

use tch::{Device, Kind, Tensor};

use super::{
    activation::Activation,
    crew,
    layout::ParamIndex,
    numbers::{numbers, numbers_mut},
    params::Params,
    precision::Products,
    product::{Finish, Matrix, Right, product, product_of},
};

thread_local! {
    /// Room for a right side in bfloat16, kept between products.
    static RIGHT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// Room for what goes from one layer to the next and no further.
    static BETWEEN: RefCell<[Vec<f32>; 4]> = const { RefCell::new([const { Vec::new() }; 4]) };
    static OFF: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, everything on this thread goes through autograd. For tests and comparisons.
pub struct AutogradOnly {
    before: bool,
}

impl AutogradOnly {
    /// From now on.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        AutogradOnly {
            before: OFF.replace(true),
        }
    }
}

impl Drop for AutogradOnly {
    fn drop(&mut self) {
        OFF.set(self.before);
    }
}

/// Whether a tensor is what passes by hand can read.
pub(crate) fn readable(tensor: &Tensor) -> bool {
    !OFF.get() && tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

/// Whether its numbers can be read one by one in the place of an operation that autograd need not know of.
pub(crate) fn is_plain(tensor: &Tensor) -> bool {
    readable(tensor) && !tensor.requires_grad() && tensor.is_contiguous()
}

/// `left [B, m]` and `right [B, n]` in one matrix `[B, m + n]`: libtorch takes longer to find out how than to do it.
pub(crate) fn side_by_side(left: &Tensor, right: &Tensor) -> Tensor {
    let (&[rows, m], &[_, n]) = (left.size().as_slice(), right.size().as_slice()) else {
        unreachable!("matrices have rows and columns")
    };
    if !is_plain(left) || !is_plain(right) || m == 0 || n == 0 {
        return Tensor::cat(&[left, right], 1);
    }
    let mut both = Tensor::empty([rows, m + n], (Kind::Float, Device::Cpu));
    let (m, n) = (m as usize, n as usize);
    let given = numbers(left).chunks_exact(m).zip(numbers(right).chunks_exact(n));
    for (row, (left, right)) in numbers_mut(&mut both).chunks_exact_mut(m + n).zip(given) {
        row[..m].copy_from_slice(left);
        row[m..].copy_from_slice(right);
    }
    both
}

/// One layer.
#[derive(Clone, Copy)]
pub(super) struct DenseLayer {
    pub(super) weight: ParamIndex,
    pub(super) bias: ParamIndex,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// The layers of a perceptron.
#[derive(Clone)]
pub(super) struct Dense {
    /// Whether there is one member, whose results have no dimension for it.
    pub(super) is_single: bool,
    pub(super) layers: Vec<DenseLayer>,
    pub(super) activation: Activation,
}

/// What a forward pass leaves for the backward pass.
pub struct Tape {
    dense: Dense,
    /// `[B, in]`.
    input: Tensor,
    /// Of each hidden layer: φ'(z) `[E, B, width]` where it is not to be seen from h, and h.
    hidden: Vec<(Option<Tensor>, Tensor)>,
    products: Products,
}

/// What a pass gave, and what takes a gradient back through it.
pub type Taped = (Tensor, Tape);

/// A pass whose result is a leaf of the graph, so that its gradient can be taken further by hand.
pub(super) struct Pass {
    /// `[B, out]` or `[E, B, out]`.
    pub(super) out: Tensor,
    pub(super) tape: Tape,
}

/// Passes that await the gradient of their results.
pub(super) type Passes = Arc<Mutex<Vec<Pass>>>;

/// Rows of a matrix; 0 for every other tensor. Where environments are stepped nothing may be allocated, and tch's `size`
/// does.
pub(super) fn rows(tensor: &Tensor) -> i64 {
    let mut shape = [0i64; 2];
    if tensor.dim() == shape.len() {
        // SAFETY: the tensor lives, and has as many extents as there is room for.
        unsafe { torch_sys::at_shape(tensor.as_ptr().cast_mut(), shape.as_mut_ptr()) };
    }
    shape[0]
}

impl Dense {
    /// Whether a pass with these parameters at `x` can be made by hand.
    pub(super) fn serves(&self, params: &Params, x: &Tensor) -> bool {
        let weight = params.constant(self.layers[0].weight);
        readable(x) && readable(weight) && x.dim() == 2 && !x.requires_grad()
    }

    /// Whether a way back needs φ'(z): that of ReLU is to be seen from h.
    fn has_slopes(&self) -> bool {
        self.activation != Activation::Relu
    }

    /// Whether the parameters are to learn.
    pub(super) fn learns(&self, params: &Params) -> bool {
        params.learns(self.layers[0].weight)
    }

    /// Whether there are no parameters but those of the layers.
    pub(super) fn is_all_of(&self, params: &Params) -> bool {
        params.count() == 2 * self.layers.len()
    }
}

/// Adds a bias `[columns]` to every row of `x [B, columns]` in place and, perhaps, makes 0 of what is below: bit for bit
/// what `x += bias` and `relu_` make of it, without the way to them, which at a single row takes longer than they do.
pub(super) fn finish_rows(x: &mut Tensor, bias: &Tensor, relu: bool) {
    let bias = numbers(bias);
    Finish::Bias { bias, relu }.apply(numbers_mut(x), bias.len());
}

/// A layer of one unit.
#[derive(Clone, Copy)]
struct UnitLayer<'a> {
    /// `[in, out]`.
    weight: &'a [f32],
    /// `[out]`.
    bias: &'a [f32],
    inputs: usize,
    outputs: usize,
}

impl<'a> UnitLayer<'a> {
    fn weight(&self) -> Matrix<'a> {
        Matrix::new(self.weight, self.inputs, self.outputs)
    }
}

/// Where a unit's gradients go, layer by layer: weight, bias.
type OfParams<'a> = Vec<(&'a mut [f32], &'a mut [f32])>;

/// The layers of all units.
struct Units<'a> {
    replicates: usize,
    /// Layer after layer of each.
    layers: Vec<Vec<UnitLayer<'a>>>,
}

impl<'a> Units<'a> {
    fn of(dense: &Dense, params: &'a Params) -> Self {
        let replicates = params.replicates();
        let first = &dense.layers[0];
        let members = params.numbers(first.bias, 0).len() / first.outputs;
        let of_unit = |unit: usize| {
            let (member, replicate) = (unit / replicates, unit % replicates);
            let layer = |layer: &DenseLayer| {
                let DenseLayer { inputs, outputs, .. } = *layer;
                UnitLayer {
                    weight: own(params.numbers(layer.weight, replicate), member, inputs * outputs),
                    bias: own(params.numbers(layer.bias, replicate), member, outputs),
                    inputs,
                    outputs,
                }
            };
            dense.layers.iter().map(layer).collect()
        };
        Units {
            replicates,
            layers: (0..members * replicates).map(of_unit).collect(),
        }
    }

    /// Gradients of all parameters `[R·P]`, by unit and layer.
    fn gradients<'o>(&self, of_params: &'o mut [f32]) -> Vec<OfParams<'o>> {
        let mut by_unit: Vec<OfParams> = (0..self.count()).map(|_| Vec::new()).collect();
        let each = of_params.len() / self.replicates;
        for (replicate, mut rest) in of_params.chunks_exact_mut(each).enumerate() {
            for layer in &self.layers[replicate] {
                let (weights, biases) = (layer.weight.len(), layer.bias.len());
                let (of_weights, others) = rest.split_at_mut(self.members() * weights);
                let (of_biases, later) = others.split_at_mut(self.members() * biases);
                rest = later;
                let pairs = of_weights
                    .chunks_exact_mut(weights)
                    .zip(of_biases.chunks_exact_mut(biases));
                for (member, pair) in pairs.enumerate() {
                    by_unit[member * self.replicates + replicate].push(pair);
                }
            }
        }
        by_unit
    }

    /// U.
    fn count(&self) -> usize {
        self.layers.len()
    }

    /// E.
    fn members(&self) -> usize {
        self.count() / self.replicates
    }

    /// The rows that a unit reads before its first layer: all members of a replicate share them.
    fn input<'n>(&self, numbers: &'n [f32], unit: usize) -> &'n [f32] {
        own(numbers, unit % self.replicates, numbers.len() / self.replicates)
    }
}

/// The numbers of one of several, of which each has `len`.
fn own(numbers: &[f32], index: usize, len: usize) -> &[f32] {
    &numbers[index * len..(index + 1) * len]
}

/// Rows are cut where vectors of any width end.
const VECTORS: usize = 64;

/// Into how many rows those of a unit are cut, so that all threads have work. It makes no difference where.
fn rows_each(units: usize, rows: usize) -> usize {
    let cuts = crew::threads().div_ceil(units);
    rows.div_ceil(cuts).next_multiple_of(VECTORS).min(rows).max(1)
}

/// Makes a product, rounded as `products` say.
fn multiply(products: Products, left: Matrix, right: Matrix, out: &mut [f32], finish: Finish) {
    match products.rounding(right.depth(), right.columns()) {
        None => product(left, right, out, finish),
        // Two that share a right side both lay it out: it takes them less than waiting for each other once more.
        Some(processor) => RIGHT.with_borrow_mut(|room| {
            product_of(left, Right::lay_out(processor, right, room), out, finish);
        }),
    }
}

/// Takes what is there.
pub(super) fn taken(passes: &Passes) -> Vec<Pass> {
    std::mem::take(&mut *passes.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Adds a pass.
pub(super) fn note(passes: &Passes, pass: Pass) {
    passes.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
}
