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
        let all_rows = input.size()[0];
        let mut hidden: Vec<(Option<Tensor>, Tensor)> = Vec::with_capacity(self.layers.len());
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let units = Units::of(params, layer);
            let rows = all_rows as usize / units.replicates;
            let shape = [units.members() as i64, all_rows, layer.outputs as i64];
            let mut z = Tensor::empty(shape, (Kind::Float, Device::Cpu));
            let from = numbers(hidden.last().map_or(&input, |(_, h)| h));
            let relu = index < last && self.activation == Activation::Relu;
            let each = numbers_mut(&mut z).chunks_exact_mut(rows * layer.outputs).enumerate();
            multiply(
                products,
                parts(each, units.count(), rows, layer.outputs),
                |part| {
                    let h = Matrix::new(units.rows_read(from, index, part.unit), rows, layer.inputs);
                    h.rows(part.first, part.out.len() / layer.outputs)
                },
                |unit| Matrix::new(units.weights[unit], layer.inputs, layer.outputs),
                |part| {
                    let bias = units.biases[part.unit];
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
                    let h = each_alone(units.replicates, [&z], |[z]| activation.of(z));
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

/// What libtorch makes of tensors `[E, R·B, width]`, number by number, as it would make it of each replicate's. It rounds the
/// last numbers of a tensor, too few for its vectors, otherwise than those before.
fn each_alone<const N: usize>(replicates: usize, given: [&Tensor; N], make: impl Fn([&Tensor; N]) -> Tensor) -> Tensor {
    /// A multiple of every vector in use.
    const VECTORS: usize = 64;
    let rows_and_width: i64 = given[0].size()[1..].iter().product();
    if replicates == 1 || (rows_and_width as usize / replicates).is_multiple_of(VECTORS) {
        return make(given);
    }
    let own = |replicate: i64| {
        given.map(|all| {
            let rows = all.size()[1] / replicates as i64;
            all.narrow(1, replicate * rows, rows).contiguous()
        })
    };
    let made: Vec<Tensor> = (0..replicates as i64)
        .map(|replicate| make(own(replicate).each_ref()))
        .collect();
    Tensor::cat(&made, 1)
}

/// Adds a bias `[columns]` to every row of `x [B, columns]` in place and, perhaps, makes 0 of what is below: bit for bit
/// what `x += bias` and `relu_` make of it, without the way to them, which at a single row takes longer than they do.
pub(super) fn finish_rows(x: &mut Tensor, bias: &Tensor, relu: bool) {
    let bias = numbers(bias);
    Finish::Bias { bias, relu }.apply(numbers_mut(x), bias.len());
}

/// A layer's parameters, unit by unit: e·R + r is member e of replicate r.
struct Units<'a> {
    replicates: usize,
    /// `[in, out]` each.
    weights: Vec<&'a [f32]>,
    /// `[out]` each.
    biases: Vec<&'a [f32]>,
}

impl<'a> Units<'a> {
    fn of(params: &'a Params, layer: &DenseLayer) -> Self {
        let replicates = params.replicates();
        let members = params.numbers(layer.bias, 0).len() / layer.outputs;
        let each = |index, len| {
            let of_unit = |unit| own(params.numbers(index, unit % replicates), unit / replicates, len);
            (0..members * replicates).map(of_unit).collect()
        };
        Units {
            replicates,
            weights: each(layer.weight, layer.inputs * layer.outputs),
            biases: each(layer.bias, layer.outputs),
        }
    }

    fn count(&self) -> usize {
        self.weights.len()
    }

    fn members(&self) -> usize {
        self.count() / self.replicates
    }

    /// The rows that a unit reads: its own, or before the first layer those that all members of its replicate share.
    fn rows_read<'n>(&self, numbers: &'n [f32], layer: usize, unit: usize) -> &'n [f32] {
        match layer {
            0 => own(numbers, unit % self.replicates, numbers.len() / self.replicates),
            _ => own(numbers, unit, numbers.len() / self.count()),
        }
    }
}

/// The numbers of one of several, of which each has `len`.
fn own(numbers: &[f32], index: usize, len: usize) -> &[f32] {
    &numbers[index * len..(index + 1) * len]
}

/// Some rows of one unit's matrix.
struct Part<'a> {
    unit: usize,
    first: usize,
    out: &'a mut [f32],
}

/// Cuts the matrices `[rows, columns]` of so many units up for the threads at hand, by units, then by rows. No row of a
/// product depends on another, so how they are cut changes nothing.
fn parts<'a>(
    each: impl Iterator<Item = (usize, &'a mut [f32])>,
    units: usize,
    rows: usize,
    columns: usize,
) -> Vec<Part<'a>> {
    let cuts = crew::threads().div_ceil(units).min(rows.div_ceil(LEAST_ROWS));
    let rows_each = rows.div_ceil(cuts);
    let mut parts = Vec::with_capacity(units * cuts);
    for (unit, out) in each {
        for (cut, out) in out.chunks_mut(rows_each * columns).enumerate() {
            let first = cut * rows_each;
            parts.push(Part { unit, first, out });
        }
    }
    parts
}

/// Makes each part the product of the rows `left` that belong to it with its unit's `right`, which has one shape for all
/// units; finished. On the threads at hand.
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
            product(left, right(part.unit), part.out, finish);
        });
    };
    // Two that share a unit both lay its right side out: it takes them less than waiting for each other once more.
    crew::each(parts, |part| {
        let (left, right, finish) = (left(&part), right(part.unit), finish(&part));
        RIGHT.with_borrow_mut(|room| {
            product_of(left, Right::lay_out(processor, right, room), part.out, finish);
        });
    });
}

/// So few rows are not worth a thread.
const LEAST_ROWS: usize = 24;

impl Tape {
    /// From the gradient of the result, `[E, B, out]` or `[B, out]`, to that of the parameters, written to `of_params`,
    /// replicate by replicate, in the order weight, bias of every layer, and to that of some columns of the input, `[B, columns]`, summed over
    /// members.
    pub(crate) fn backward(
        &self,
        params: &Params,
        of_out: &Tensor,
        of_params: Option<&mut [f32]>,
        of_input: Option<Range<usize>>,
    ) -> Option<Tensor> {
        let _guard = tch::no_grad_guard();
        let all_rows = self.input.size()[0] as usize;
        let mut g = of_out.contiguous();
        // Of each replicate, what remains to be written.
        let mut remaining: Option<Vec<&mut [f32]>> = of_params.map(|gradient| {
            let each = gradient.len() / params.replicates();
            gradient.chunks_exact_mut(each).collect()
        });
        for (index, layer) in self.dense.layers.iter().enumerate().rev() {
            let units = Units::of(params, layer);
            let (rows, members) = (all_rows / units.replicates, units.members());
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let from = numbers(match index {
                0 => &self.input,
                _ => &self.hidden[index - 1].1,
            });
            let numbers_of_g = numbers(&g);
            let of_unit = |unit| Matrix::new(own(numbers_of_g, unit, rows * outputs), rows, outputs);
            if let Some(gradients) = &mut remaining {
                let (mut of_weights, mut of_biases) = (Vec::new(), Vec::new());
                for (replicate, gradient) in gradients.iter_mut().enumerate() {
                    // This layer's are the last of those that remain.
                    let all = std::mem::take(gradient);
                    let (earlier, last) = all.split_at_mut(all.len() - members * (inputs + 1) * outputs);
                    *gradient = earlier;
                    let (of_weight, of_bias) = last.split_at_mut(members * inputs * outputs);
                    let unit = |(member, part)| (member * units.replicates + replicate, part);
                    of_weights.extend(of_weight.chunks_exact_mut(inputs * outputs).enumerate().map(unit));
                    of_biases.extend(of_bias.chunks_exact_mut(outputs).enumerate().map(unit));
                }
                multiply(
                    self.products,
                    parts(of_weights.into_iter(), units.count(), inputs, outputs),
                    |part| {
                        let h = Matrix::new(units.rows_read(from, index, part.unit), rows, inputs);
                        h.transposed().rows(part.first, part.out.len() / outputs)
                    },
                    of_unit,
                    |_| Finish::Plain,
                );
                for (unit, sums) in of_biases {
                    sum_rows(own(numbers_of_g, unit, rows * outputs), sums);
                }
            }
            let read = match (index, &of_input) {
                (0, None) => return None,
                (0, Some(columns)) => columns.clone(),
                _ => 0..inputs,
            };
            let width = read.len();
            let shape = [members, all_rows, width].map(|extent| extent as i64);
            let mut down = Tensor::empty(shape, (Kind::Float, Device::Cpu));
            let relu = index > 0 && self.dense.activation == Activation::Relu;
            let each = numbers_mut(&mut down).chunks_exact_mut(rows * width).enumerate();
            multiply(
                self.products,
                parts(each, units.count(), rows, width),
                |part| of_unit(part.unit).rows(part.first, part.out.len() / width),
                |unit| {
                    let weight = Matrix::new(units.weights[unit], inputs, outputs);
                    weight.rows(read.start, width).transposed()
                },
                |part| {
                    let start = (part.unit * rows + part.first) * inputs;
                    match relu {
                        true => Finish::WherePositive(&from[start..start + part.out.len()]),
                        false => Finish::Plain,
                    }
                },
            );
            if index == 0 {
                return Some(over_members(down, all_rows, width));
            }
            g = match &self.hidden[index - 1] {
                (None, _) => down,
                (Some(z), h) => each_alone(units.replicates, [&down, z, h], |[down, z, h]| {
                    self.dense.activation.derivative(down, z, h)
                }),
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
