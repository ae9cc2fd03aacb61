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

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use tch::{Device, Kind, Tensor};

use super::{
    body::Activation,
    crew,
    numbers::{numbers, numbers_mut},
    params::{ParamIndex, Params},
    precision::Products,
    product::{Finish, Matrix, Right, product, product_of, sum_rows},
};

thread_local! {
    /// Room for a right side in bfloat16, kept between products.
    static RIGHT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
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
    pub(super) layers: Vec<DenseLayer>,
    pub(super) activation: Activation,
}

/// What a forward pass leaves for the backward pass.
pub struct Tape {
    dense: Dense,
    /// `[B, in]`.
    input: Tensor,
    /// Of each hidden layer: z `[E, B, width]` where φ' needs it, and h.
    hidden: Vec<(Option<Tensor>, Tensor)>,
    products: Products,
}

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

    /// Whether the parameters are to learn.
    pub(super) fn learns(&self, params: &Params) -> bool {
        params.learns(self.layers[0].weight)
    }

    /// Whether there are no parameters but those of the layers.
    pub(super) fn is_all_of(&self, params: &Params) -> bool {
        params.count() == 2 * self.layers.len()
    }

    /// `x [B, in]` to `[E, B, out]`, and what a backward pass needs if it is to be kept. Factors are rounded, if
    /// `products` does, in a network of which everything goes by hand, and in no other: no network learns with one
    /// precision and is read with another.
    pub(super) fn forward(
        &self,
        params: &Params,
        x: &Tensor,
        products: Products,
        keep: bool,
    ) -> (Tensor, Option<Tape>) {
        let products = if self.is_all_of(params) {
            products
        } else {
            Products::default()
        };
        let _guard = tch::no_grad_guard();
        let input = x.contiguous();
        let rows = input.size()[0] as usize;
        let mut hidden: Vec<(Option<Tensor>, Tensor)> = Vec::with_capacity(self.layers.len());
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (layer.weight, layer.bias);
            let [weight, bias] = [weight, bias].map(|index| numbers(params.constant(index)));
            let members = bias.len() / layer.outputs;
            let shape = [members as i64, rows as i64, layer.outputs as i64];
            let mut z = Tensor::empty(shape, (Kind::Float, Device::Cpu));
            let from = numbers(hidden.last().map_or(&input, |(_, h)| h));
            let relu = index < last && self.activation == Activation::Relu;
            let weights = layer.inputs * layer.outputs;
            let parts = parts(numbers_mut(&mut z), members, rows, layer.outputs);
            multiply(
                products,
                parts,
                |part| {
                    let h = of_member(from, index, part.member, rows * layer.inputs);
                    let h = Matrix::new(h, rows, layer.inputs);
                    h.rows(part.first, part.out.len() / layer.outputs)
                },
                |member| Matrix::new(own(weight, member, weights), layer.inputs, layer.outputs),
                |part| {
                    let bias = own(bias, part.member, layer.outputs);
                    Finish::Bias { bias, relu }
                },
            );
            if index == last {
                let tape = keep.then(|| Tape {
                    dense: self.clone(),
                    input,
                    hidden,
                    products,
                });
                return (z, tape);
            }
            hidden.push(match self.activation {
                Activation::Relu => (None, z),
                activation => {
                    let h = activation.of(&z);
                    (keep.then_some(z), h)
                }
            });
            if !keep && hidden.len() > 1 {
                drop(hidden.remove(0));
            }
        }
        unreachable!("the last layer returns")
    }
}

/// Adds a bias `[columns]` to every row of `x [B, columns]` in place and, perhaps, makes 0 of what is below: bit for bit
/// what `x += bias` and `relu_` make of it, without the way to them, which at a single row takes longer than they do.
pub(super) fn finish_rows(x: &mut Tensor, bias: &Tensor, relu: bool) {
    let bias = numbers(bias);
    Finish::Bias { bias, relu }.apply(numbers_mut(x), bias.len());
}

/// A layer's numbers of one member: its own, or those that all share before the first layer.
fn of_member(numbers: &[f32], layer: usize, member: usize, len: usize) -> &[f32] {
    match layer {
        0 => numbers,
        _ => own(numbers, member, len),
    }
}

/// The numbers of one member, of which each has `len`.
fn own(numbers: &[f32], member: usize, len: usize) -> &[f32] {
    &numbers[member * len..(member + 1) * len]
}

/// Some rows of one member's matrix.
struct Part<'a> {
    member: usize,
    first: usize,
    out: &'a mut [f32],
}

/// Cuts matrices `[members, rows, columns]` up for the threads at hand, by members, then by rows. No row of a product
/// depends on another, so how they are cut changes nothing.
fn parts(out: &mut [f32], members: usize, rows: usize, columns: usize) -> Vec<Part<'_>> {
    let cuts = crew::threads().div_ceil(members).min(rows.div_ceil(LEAST_ROWS));
    let rows_each = rows.div_ceil(cuts);
    let mut parts = Vec::with_capacity(members * cuts);
    for (member, out) in out.chunks_exact_mut(rows * columns).enumerate() {
        for (cut, out) in out.chunks_mut(rows_each * columns).enumerate() {
            let first = cut * rows_each;
            parts.push(Part { member, first, out });
        }
    }
    parts
}

/// Makes each part the product of the rows `left` that belong to it with its member's `right`, which has one shape for all
/// members; finished. On the threads at hand.
fn multiply<'a>(
    products: Products,
    parts: Vec<Part>,
    left: impl Fn(&Part) -> Matrix<'a> + Sync,
    right: impl Fn(usize) -> Matrix<'a> + Sync,
    finish: impl Fn(&Part) -> Finish<'a> + Sync,
) {
    let (k, n) = (right(0).depth(), right(0).columns());
    let Some(processor) = products.rounding(k, n) else {
        return crew::each(parts, |part| {
            let (left, finish) = (left(&part), finish(&part));
            product(left, right(part.member), part.out, finish);
        });
    };
    // Two that share a member both lay its right side out: it takes them less than waiting for each other once more.
    crew::each(parts, |part| {
        let (left, right, finish) = (left(&part), right(part.member), finish(&part));
        RIGHT.with_borrow_mut(|room| {
            product_of(left, Right::lay_out(processor, right, room), part.out, finish);
        });
    });
}

/// So few rows are not worth a thread.
const LEAST_ROWS: usize = 24;

impl Tape {
    /// From the gradient of the result, `[E, B, out]` or `[B, out]`, to that of the parameters, written to `of_params` in
    /// the order weight, bias of every layer, and to that of some columns of the input, `[B, columns]`, summed over
    /// members.
    pub(crate) fn backward(
        &self,
        params: &Params,
        of_out: &Tensor,
        mut of_params: Option<&mut [f32]>,
        of_input: Option<Range<usize>>,
    ) -> Option<Tensor> {
        let _guard = tch::no_grad_guard();
        let rows = self.input.size()[0] as usize;
        let mut g = of_out.contiguous();
        for (index, layer) in self.dense.layers.iter().enumerate().rev() {
            let weight = numbers(params.constant(layer.weight));
            let weights = layer.inputs * layer.outputs;
            let members = weight.len() / weights;
            let from = match index {
                0 => &self.input,
                _ => &self.hidden[index - 1].1,
            };
            let (ins, outs) = (rows * layer.inputs, rows * layer.outputs);
            if let Some(gradient) = of_params.take() {
                // This layer's are the last of those that remain.
                let (earlier, last) = gradient.split_at_mut(gradient.len() - members * (weights + layer.outputs));
                of_params = Some(earlier);
                let (of_weight, of_bias) = last.split_at_mut(members * weights);
                let (inputs, outputs) = (layer.inputs, layer.outputs);
                let (numbers_of_g, numbers_of_h) = (numbers(&g), numbers(from));
                multiply(
                    self.products,
                    parts(of_weight, members, inputs, outputs),
                    |part| {
                        let h = Matrix::new(of_member(numbers_of_h, index, part.member, ins), rows, inputs);
                        h.transposed().rows(part.first, part.out.len() / outputs)
                    },
                    |member| Matrix::new(own(numbers_of_g, member, outs), rows, outputs),
                    |_| Finish::Plain,
                );
                for (sums, g) in of_bias.chunks_exact_mut(outputs).zip(numbers_of_g.chunks_exact(outs)) {
                    sum_rows(g, sums);
                }
            }
            let read = match (index, &of_input) {
                (0, None) => return None,
                (0, Some(columns)) => columns.clone(),
                _ => 0..layer.inputs,
            };
            let width = read.len();
            let shape = [members as i64, rows as i64, width as i64];
            let mut down = Tensor::empty(shape, (Kind::Float, Device::Cpu));
            let relu = index > 0 && self.dense.activation == Activation::Relu;
            let (numbers_of_g, h) = (numbers(&g), numbers(from));
            multiply(
                self.products,
                parts(numbers_mut(&mut down), members, rows, width),
                |part| {
                    let g = Matrix::new(own(numbers_of_g, part.member, outs), rows, layer.outputs);
                    g.rows(part.first, part.out.len() / width)
                },
                |member| {
                    let weight = Matrix::new(own(weight, member, weights), layer.inputs, layer.outputs);
                    weight.rows(read.start, width).transposed()
                },
                |part| {
                    let start = part.member * ins + part.first * layer.inputs;
                    match relu {
                        true => Finish::WherePositive(&h[start..start + part.out.len()]),
                        false => Finish::Plain,
                    }
                },
            );
            if index == 0 {
                return Some(over_members(down, rows, width));
            }
            g = match &self.hidden[index - 1] {
                (None, _) => down,
                (Some(z), h) => self.dense.activation.derivative(&down, z, h),
            };
        }
        unreachable!("the first layer returns")
    }
}

/// `[E, B, n]` summed over members, in their order: `[B, n]`.
fn over_members(members: Tensor, rows: usize, width: usize) -> Tensor {
    if members.size()[0] == 1 {
        return members.squeeze_dim(0);
    }
    let mut sum = Tensor::empty([rows as i64, width as i64], (Kind::Float, Device::Cpu));
    sum_rows(numbers(&members), numbers_mut(&mut sum));
    sum
}

/// Takes what is there.
pub(super) fn taken(passes: &Passes) -> Vec<Pass> {
    std::mem::take(&mut *passes.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Adds a pass.
pub(super) fn note(passes: &Passes, pass: Pass) {
    passes.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
}
