//! Forward: [`Dense::forward`].

use tch::{Device, Kind, Tensor};

use super::{BETWEEN, Dense, DenseLayer, Tape, UnitLayer, Units, multiply, rows_each};
use crate::nn::{
    activation::Activation,
    crew,
    numbers::{numbers, numbers_mut},
    params::Params,
    precision::Products,
    product::{Finish, Matrix, few_rows},
};

/// Some rows of one unit on their way through the layers, and where they leave what is kept.
pub(super) struct Way<'a> {
    pub(super) rows: usize,
    /// Of each hidden layer, where there is a way back.
    pub(super) kept: Vec<Kept<'a>>,
    pub(super) out: &'a mut [f32],
}

pub(super) struct Kept<'a> {
    /// φ'(z), where it is not to be seen from h.
    pub(super) slope: Option<&'a mut [f32]>,
    pub(super) h: &'a mut [f32],
}

impl Dense {
    /// `x [B, in]` to `[E, B, out]`, or `[B, out]` of a single network, and what a backward pass needs if it is to be kept. Factors are rounded, if
    /// `products` does, in a network of which everything goes by hand, and in no other: no network learns with one
    /// precision and is read with another.
    pub(in crate::nn) fn forward(
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
        let units = Units::of(self, params);
        let all_rows = input.size()[0];
        let rows = all_rows as usize / units.replicates;
        let each = rows_each(units.count(), rows);
        let empty = |width: usize| {
            let shape = [units.members() as i64, all_rows, width as i64];
            Tensor::empty(shape, (Kind::Float, Device::Cpu))
        };
        let (hidden_layers, last) = self.layers.split_at(self.layers.len() - 1);
        let has_slopes = self.has_slopes();
        let mut hidden: Vec<(Option<Tensor>, Tensor)> = match keep {
            true => hidden_layers
                .iter()
                .map(|layer| (has_slopes.then(|| empty(layer.outputs)), empty(layer.outputs)))
                .collect(),
            false => Vec::new(),
        };
        let mut out = self.room_for_results(x, units.members());

        let cuts = Cuts { rows, each };
        let mut ways: Vec<(usize, usize, Way)> = Vec::new();
        for (unit, parts) in cuts.of(&mut out, last[0].outputs).into_iter().enumerate() {
            for (index, out) in parts.into_iter().enumerate() {
                let way = Way {
                    rows: out.len() / last[0].outputs,
                    kept: Vec::new(),
                    out,
                };
                ways.push((unit, index * each, way));
            }
        }
        for ((slope, h), layer) in hidden.iter_mut().zip(hidden_layers) {
            let slopes = slope
                .as_mut()
                .map(|slope| cuts.of(slope, layer.outputs).into_iter().flatten());
            let mut slopes = slopes.into_iter().flatten();
            let hs = cuts.of(h, layer.outputs).into_iter().flatten();
            for ((_, _, way), h) in ways.iter_mut().zip(hs) {
                let slope = slopes.next();
                way.kept.push(Kept { slope, h });
            }
        }
        let from = numbers(&input);
        crew::each(ways, |(unit, first, way)| {
            let own = units.input(from, unit);
            let width = own.len() / rows.max(1);
            let own = &own[first * width..(first + way.rows) * width];
            way.go(own, &units.layers[unit], self.activation, products);
        });
        drop(units);
        let tape = keep.then(|| Tape {
            dense: self.clone(),
            input,
            hidden,
            products,
        });
        (out, tape)
    }
}

impl Dense {
    /// `[E, B, out]`, or `[B, out]` of a single network, for as many rows as `x` has, whatever is in it.
    pub(super) fn room_for_results(&self, x: &Tensor, members: usize) -> Tensor {
        let (rows, width) = (super::rows(x), self.layers[self.layers.len() - 1].outputs as i64);
        match self.is_single {
            true => Tensor::empty([rows, width], (Kind::Float, Device::Cpu)),
            false => Tensor::empty([members as i64, rows, width], (Kind::Float, Device::Cpu)),
        }
    }
}

impl Dense {
    /// A single network's result `[rows, out]` at a few rows `x` `[rows, in]`, and what `read` makes of it. Allocates nothing
    /// once it has its room.
    pub(in crate::nn) fn at_few_rows<R>(&self, params: &Params, x: &[f32], read: impl FnOnce(&[f32]) -> R) -> R {
        let rows = x.len() / self.layers[0].inputs.max(1);
        BETWEEN.with_borrow_mut(|[one, other, before, _]| {
            let last = self.layers.len() - 1;
            for (index, layer) in self.layers.iter().enumerate() {
                let DenseLayer { inputs, outputs, .. } = *layer;
                let from = if index == 0 { x } else { &one[..rows * inputs] };
                let relu = self.activation == Activation::Relu && index < last;
                let bias = params.numbers(layer.bias, 0);
                let h = room(other, rows * outputs);
                let has_curve = index < last && !relu;
                let z = if has_curve {
                    room(before, rows * outputs)
                } else {
                    &mut *h
                };
                few_rows(from, params.numbers(layer.weight, 0), inputs, z);
                Finish::Bias { bias, relu }.apply(z, outputs);
                if has_curve {
                    self.activation.by_hand(room(before, rows * outputs), h);
                }
                std::mem::swap(one, other);
            }
            read(&one[..rows * self.layers[last].outputs])
        })
    }
}

/// How the rows of units are cut.
struct Cuts {
    rows: usize,
    each: usize,
}

impl Cuts {
    /// The numbers of every unit `[units, rows, width]`, in parts.
    fn of<'t>(&self, tensor: &'t mut Tensor, width: usize) -> Vec<Vec<&'t mut [f32]>> {
        let units = numbers_mut(tensor).chunks_exact_mut(self.rows * width);
        units.map(|unit| unit.chunks_mut(self.each * width).collect()).collect()
    }
}

impl Way<'_> {
    pub(super) fn go(mut self, input: &[f32], layers: &[UnitLayer], activation: Activation, products: Products) {
        BETWEEN.with_borrow_mut(|[one, other, before, _]| {
            let last = layers.len() - 1;
            let kept = self.kept.len();
            for (index, layer) in layers.iter().enumerate() {
                let relu = index < last && activation == Activation::Relu;
                let bias = Finish::Bias { bias: layer.bias, relu };
                let (behind, ahead) = self.kept.split_at_mut(index.min(kept));
                let from = match (index, behind.last()) {
                    (0, _) => input,
                    (_, Some(before)) => &*before.h,
                    (_, None) => &one[..self.rows * layer.inputs],
                };
                let from = Matrix::new(from, self.rows, layer.inputs);
                let len = self.rows * layer.outputs;
                if index == last {
                    multiply(products, from, layer.weight(), self.out, bias);
                    return;
                }
                let (slope, h) = match ahead.first_mut() {
                    Some(Kept { slope, h }) => (slope.as_deref_mut(), &mut **h),
                    None => (None, room(other, len)),
                };
                match slope {
                    _ if relu => multiply(products, from, layer.weight(), h, bias),
                    Some(z) => {
                        multiply(products, from, layer.weight(), z, bias);
                        activation.with_slopes(z, h);
                    }
                    None => {
                        let z = room(before, len);
                        multiply(products, from, layer.weight(), z, bias);
                        activation.by_hand(z, h);
                    }
                }
                std::mem::swap(one, other);
            }
        });
    }
}

/// Room for so many numbers, whatever is in it.
pub(super) fn room(room: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if room.len() < len {
        room.resize(len, 0.0);
    }
    &mut room[..len]
}
