//! Backward: [`Tape::backward`].

use std::ops::Range;

use tch::Tensor;

use super::{BETWEEN, Tape, UnitLayer, Units, forward::room, multiply, own, rows, rows_each};
use crate::nn::{
    crew,
    numbers::{numbers, numbers_mut},
    params::Params,
    precision::Products,
    product::{Finish, Matrix, sum_rows},
};

/// What all ways back share.
struct Pass<'a> {
    products: Products,
    units: Units<'a>,
    /// Of a replicate.
    rows: usize,
    /// `[R·B, in]`.
    input: &'a [f32],
    /// Of each hidden layer: φ'(z), where it is not to be seen from h, and h, `[E, R·B, width]`.
    hidden: Vec<(Option<&'a [f32]>, &'a [f32])>,
    /// ∂loss/∂out, `[E, R·B, out]`.
    of_out: &'a [f32],
    /// Columns of the input whose gradient is wanted.
    of_input: Option<Range<usize>>,
}

/// Where a unit's gradients go, layer by layer: weight, bias.
type OfParams<'a> = Vec<(&'a mut [f32], &'a mut [f32])>;

impl Tape {
    /// From the gradient of the result, `[E, B, out]` or `[B, out]`, to that of the parameters, written to `of_params`,
    /// replicate by replicate, in the order weight, bias of every layer, and to that of some columns of the input,
    /// `[B, columns]`, summed over members. Numbers in and out: a tensor for them takes longer to make than they do.
    pub(crate) fn backward(
        &self,
        params: &Params,
        of_out: &[f32],
        of_params: Option<&mut [f32]>,
        of_input: Option<Range<usize>>,
    ) -> Option<Vec<f32>> {
        let units = Units::of(&self.dense, params);
        let all_rows = rows(&self.input) as usize;
        let hidden = self.hidden.iter();
        let width = of_input.as_ref().map_or(0, |columns| columns.len());
        // [E, R·B, columns]
        let mut down = of_input.as_ref().map(|_| vec![0.0; units.members() * all_rows * width]);
        let pass = Pass {
            products: self.products,
            rows: all_rows / units.replicates,
            input: numbers(&self.input),
            hidden: hidden
                .map(|(slope, h)| (slope.as_ref().map(numbers), numbers(h)))
                .collect(),
            of_out,
            of_input,
            units,
        };
        let each = rows_each(pass.units.count(), pass.rows);
        let downs = down
            .as_mut()
            .map(|down| down.chunks_exact_mut((pass.rows * width).max(1)));
        let mut downs = downs.into_iter().flatten();
        match of_params {
            // A unit's gradients are sums over all its rows.
            Some(of_params) if each == pass.rows => {
                let of_units = pass.by_unit(of_params).into_iter().enumerate();
                let ways = of_units
                    .map(|(unit, of_params)| (unit, of_params, downs.next()))
                    .collect();
                crew::each(ways, |(unit, of_params, down)| pass.whole_way(unit, of_params, down));
            }
            of_params => {
                let mut of_hidden: Vec<Tensor> = match of_params {
                    None => Vec::new(),
                    Some(_) => self.hidden.iter().map(|(_, h)| Tensor::empty_like(h)).collect(),
                };
                pass.down_in_parts(each, &mut of_hidden, downs);
                if let Some(of_params) = of_params {
                    let of_hidden: Vec<&[f32]> = of_hidden.iter().map(numbers).collect();
                    pass.of_params_in_parts(&of_hidden, of_params);
                }
            }
        }
        down.map(|down| over_members(down, all_rows * width))
    }
}

impl Pass<'_> {
    /// Gradients of all parameters `[R·P]`, by unit and layer.
    fn by_unit<'o>(&self, of_params: &'o mut [f32]) -> Vec<OfParams<'o>> {
        let replicates = self.units.replicates;
        let mut by_unit: Vec<OfParams> = (0..self.units.count()).map(|_| Vec::new()).collect();
        let each = of_params.len() / replicates;
        for (replicate, mut rest) in of_params.chunks_exact_mut(each).enumerate() {
            for layer in &self.units.layers[replicate] {
                let (weights, biases) = (layer.weight.len(), layer.bias.len());
                let members = self.units.members();
                let (of_weights, others) = rest.split_at_mut(members * weights);
                let (of_biases, later) = others.split_at_mut(members * biases);
                rest = later;
                let pairs = of_weights
                    .chunks_exact_mut(weights)
                    .zip(of_biases.chunks_exact_mut(biases));
                for (member, pair) in pairs.enumerate() {
                    by_unit[member * replicates + replicate].push(pair);
                }
            }
        }
        by_unit
    }

    /// What a layer of a unit read, `[rows, in]`.
    fn read(&self, unit: usize, layer: usize) -> &[f32] {
        match layer {
            0 => self.units.input(self.input, unit),
            _ => own_of(self.hidden[layer - 1].1, unit, self.units.count()),
        }
    }

    /// One unit with all its rows: parameters, and the input if `down` is there, `[rows, columns]`.
    fn whole_way(&self, unit: usize, of_params: OfParams, down: Option<&mut [f32]>) {
        let layers = &self.units.layers[unit];
        let rows = self.rows;
        BETWEEN.with_borrow_mut(|[one, other, ..]| {
            let first = room(one, rows * layers[layers.len() - 1].outputs);
            first.copy_from_slice(own_of(self.of_out, unit, self.units.count()));
            for (index, (layer, (of_weight, of_bias))) in layers.iter().zip(of_params).enumerate().rev() {
                let g = &one[..rows * layer.outputs];
                let h = self.read(unit, index);
                let h_turned = Matrix::new(h, rows, layer.inputs).transposed();
                multiply(
                    self.products,
                    h_turned,
                    Matrix::new(g, rows, layer.outputs),
                    of_weight,
                    Finish::Plain,
                );
                sum_rows(g, of_bias);
                if index > 0 {
                    let slope = self.hidden[index - 1].0;
                    let slope = slope.map(|slope| own_of(slope, unit, self.units.count()));
                    let down = room(other, rows * layer.inputs);
                    self.through(layer, g, (slope, h), down);
                    std::mem::swap(one, other);
                }
            }
            if let Some(down) = down {
                let g = &one[..rows * layers[0].outputs];
                self.to_input(&layers[0], g, down);
            }
        });
    }

    /// The gradient by what was before a layer's activation, from that by what came out of the layer, `g`.
    fn through(&self, layer: &UnitLayer, g: &[f32], (slope, h): (Option<&[f32]>, &[f32]), down: &mut [f32]) {
        let g = Matrix::new(g, g.len() / layer.outputs, layer.outputs);
        let finish = slope.map_or(Finish::WherePositive(h), Finish::Times);
        multiply(self.products, g, layer.weight().transposed(), down, finish);
    }

    /// The gradient by the wanted columns of the input.
    fn to_input(&self, first: &UnitLayer, g: &[f32], down: &mut [f32]) {
        let Range { start, end } = self.of_input.clone().unwrap_or_default();
        let g = Matrix::new(g, g.len() / first.outputs, first.outputs);
        let columns = first.weight().rows(start, end - start).transposed();
        multiply(self.products, g, columns, down, Finish::Plain);
    }

    /// The way down to the input, in parts of so many rows, each through all layers. Leaves the gradients by what was before
    /// the activations in `of_hidden`, `[E, R·B, width]` each, if they are there, and those by the input in `downs`.
    fn down_in_parts<'o>(&self, each: usize, of_hidden: &mut [Tensor], downs: impl Iterator<Item = &'o mut [f32]>) {
        struct Part<'p> {
            unit: usize,
            first: usize,
            rows: usize,
            of_hidden: Vec<&'p mut [f32]>,
            down: Option<&'p mut [f32]>,
        }
        let mut parts: Vec<Part> = Vec::new();
        for unit in 0..self.units.count() {
            for first in (0..self.rows).step_by(each) {
                parts.push(Part {
                    unit,
                    first,
                    rows: each.min(self.rows - first),
                    of_hidden: Vec::new(),
                    down: None,
                });
            }
        }
        for (tensor, layer) in of_hidden.iter_mut().zip(&self.units.layers[0]) {
            let units = numbers_mut(tensor).chunks_exact_mut(self.rows * layer.outputs);
            let cuts = units.flat_map(|unit| unit.chunks_mut(each * layer.outputs));
            parts
                .iter_mut()
                .zip(cuts)
                .for_each(|(part, cut)| part.of_hidden.push(cut));
        }
        let width = self.of_input.as_ref().map_or(0, |columns| columns.len());
        let cuts = downs.flat_map(|down| down.chunks_mut((each * width).max(1)));
        parts.iter_mut().zip(cuts).for_each(|(part, cut)| part.down = Some(cut));
        crew::each(parts, |mut part| {
            let layers = &self.units.layers[part.unit];
            let rows = part.first..part.first + part.rows;
            let part_of = |numbers, width: usize| {
                let own = own_of(numbers, part.unit, self.units.count());
                &own[rows.start * width..rows.end * width]
            };
            BETWEEN.with_borrow_mut(|[one, other, of_h, of_slope]| {
                let last = &layers[layers.len() - 1];
                let of_out = part_of(self.of_out, last.outputs);
                let chosen = match self.of_input {
                    Some(_) if part.of_hidden.is_empty() => Chosen::of(of_out, last.outputs),
                    _ => Chosen::all(part.rows),
                };
                let count = chosen.rows.len();
                if let (0, Some(down)) = (count, &mut part.down) {
                    return down.fill(0.0);
                }
                chosen.gather(of_out, last.outputs, one);
                for (index, layer) in layers.iter().enumerate().skip(1).rev() {
                    let (slope, h) = self.hidden[index - 1];
                    let h = chosen.gathered(part_of(h, layer.inputs), layer.inputs, of_h);
                    let slope =
                        slope.map(|slope| chosen.gathered(part_of(slope, layer.inputs), layer.inputs, of_slope));
                    let down = room(other, count * layer.inputs);
                    self.through(layer, &one[..count * layer.outputs], (slope, h), down);
                    if let Some(kept) = part.of_hidden.get_mut(index - 1) {
                        kept.copy_from_slice(down);
                    }
                    std::mem::swap(one, other);
                }
                if let Some(down) = &mut part.down {
                    let of_chosen = room(other, count * width);
                    self.to_input(&layers[0], &one[..count * layers[0].outputs], of_chosen);
                    chosen.scatter(of_chosen, width, down);
                }
            });
        });
    }

    /// The gradients of parameters, from those by what was before the activations, in parts of some rows of weights.
    fn of_params_in_parts(&self, of_hidden: &[&[f32]], of_params: &mut [f32]) {
        struct Part<'p> {
            unit: usize,
            layer: usize,
            /// Of the rows of its weights.
            first: usize,
            of_weight: &'p mut [f32],
            of_bias: Option<&'p mut [f32]>,
        }
        let cuts = crew::threads().div_ceil(self.units.count());
        let mut parts: Vec<Part> = Vec::new();
        for (unit, of_layers) in self.by_unit(of_params).into_iter().enumerate() {
            for (layer, (of_weight, of_bias)) in of_layers.into_iter().enumerate() {
                let UnitLayer { inputs, outputs, .. } = self.units.layers[unit][layer];
                let each = inputs.div_ceil(cuts);
                let mut of_bias = Some(of_bias);
                for (index, of_weight) in of_weight.chunks_mut(each * outputs).enumerate() {
                    parts.push(Part {
                        unit,
                        layer,
                        first: index * each,
                        of_weight,
                        of_bias: of_bias.take(),
                    });
                }
            }
        }
        crew::each(parts, |part| {
            let UnitLayer { inputs, outputs, .. } = self.units.layers[part.unit][part.layer];
            let g = own_of(
                of_hidden.get(part.layer).copied().unwrap_or(self.of_out),
                part.unit,
                self.units.count(),
            );
            if let Some(of_bias) = part.of_bias {
                sum_rows(g, of_bias);
            }
            let h = Matrix::new(self.read(part.unit, part.layer), self.rows, inputs).transposed();
            let h = h.rows(part.first, part.of_weight.len() / outputs);
            multiply(
                self.products,
                h,
                Matrix::new(g, self.rows, outputs),
                part.of_weight,
                Finish::Plain,
            );
        });
    }
}

/// Rows through which something comes down. An actor climbs the smallest of several values, each row that of one member; the
/// others have nothing to do with it.
struct Chosen {
    /// In their order.
    rows: Vec<usize>,
    all: usize,
}

impl Chosen {
    fn all(rows: usize) -> Self {
        Chosen {
            rows: (0..rows).collect(),
            all: rows,
        }
    }

    /// Those of `gradient`, `[rows, width]`, that are not zero.
    fn of(gradient: &[f32], width: usize) -> Self {
        let rows = gradient.chunks_exact(width).enumerate();
        let chosen = rows.filter(|(_, row)| row.iter().any(|number| *number != 0.0));
        Chosen {
            rows: chosen.map(|(row, _)| row).collect(),
            all: gradient.len() / width,
        }
    }

    fn gather(&self, numbers: &[f32], width: usize, to: &mut Vec<f32>) {
        let to = room(to, self.rows.len() * width);
        for (row, to) in self.rows.iter().zip(to.chunks_exact_mut(width)) {
            to.copy_from_slice(own(numbers, *row, width));
        }
    }

    /// The chosen ones of `numbers`, `[rows, width]`, where they lie if those are all.
    fn gathered<'n>(&self, numbers: &'n [f32], width: usize, to: &'n mut Vec<f32>) -> &'n [f32] {
        if self.rows.len() == self.all {
            return numbers;
        }
        self.gather(numbers, width, to);
        &to[..self.rows.len() * width]
    }

    /// Back to their places among zeros.
    fn scatter(&self, numbers: &[f32], width: usize, to: &mut [f32]) {
        to.fill(0.0);
        for (row, numbers) in self.rows.iter().zip(numbers.chunks_exact(width)) {
            to[row * width..(row + 1) * width].copy_from_slice(numbers);
        }
    }
}

/// The numbers of one of `count` units.
fn own_of(numbers: &[f32], unit: usize, count: usize) -> &[f32] {
    own(numbers, unit, numbers.len() / count)
}

/// `[E, n]` summed over members, in their order: `[n]`.
fn over_members(members: Vec<f32>, count: usize) -> Vec<f32> {
    if members.len() == count {
        return members;
    }
    let mut sum = vec![0.0; count];
    sum_rows(&members, &mut sum);
    sum
}
