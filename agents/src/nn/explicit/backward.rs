//! Backward: [`Tape::to_params`], [`Tape::to_input`].

use std::{cell::RefCell, ops::Range};

use super::{BETWEEN, OfParams, Tape, UnitLayer, Units, VECTORS, forward::room, multiply, own, rows, rows_each};
use crate::nn::{
    crew,
    numbers::numbers,
    params::Params,
    precision::Products,
    product::{Finish, Matrix, sum_rows},
};

thread_local! {
    /// Room for the gradients by what was before the activations.
    static OF_HIDDEN: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// What all ways back share.
pub(super) struct Pass<'a> {
    pub(super) products: Products,
    pub(super) units: Units<'a>,
    /// Of a replicate.
    pub(super) rows: usize,
    /// `[R·B, in]`.
    pub(super) input: &'a [f32],
    /// Of each hidden layer: φ'(z), where it is not to be seen from h, and h, `[E, R·B, width]`.
    pub(super) hidden: Vec<(Option<&'a [f32]>, &'a [f32])>,
    /// ∂loss/∂out, `[E, R·B, out]`.
    pub(super) of_out: &'a [f32],
}

impl Tape {
    /// From the gradient of the result, `[E, B, out]` or `[B, out]`, to that of the parameters, written to `of_params`,
    /// replicate by replicate, in the order weight, bias of every layer. Numbers in and out: a tensor for them takes longer
    /// to make than they do.
    pub(crate) fn to_params(&self, params: &Params, of_out: &[f32], of_params: &mut [f32]) {
        let pass = self.pass(params, of_out);
        let each = rows_each(pass.units.count(), pass.rows);
        // A unit's gradients are sums over all its rows.
        if each == pass.rows {
            let of_units = pass.units.gradients(of_params).into_iter().enumerate().collect();
            return crew::each(of_units, |(unit, of_params)| pass.whole_way(unit, of_params));
        }
        OF_HIDDEN.with_borrow_mut(|rooms| {
            rooms.resize_with(self.hidden.len(), Vec::new);
            let rooms = rooms.iter_mut().zip(&pass.hidden);
            let mut of_hidden: Vec<&mut [f32]> = rooms.map(|(of_h, (_, h))| room(of_h, h.len())).collect();
            pass.down_in_parts(each, &mut of_hidden);
            pass.of_params_in_parts(&of_hidden, of_params);
        });
    }

    /// The same to that of some columns of the input, `[B, columns]`, summed over members.
    pub(crate) fn to_input(&self, params: &Params, of_out: &[f32], columns: Range<usize>) -> Vec<f32> {
        self.pass(params, of_out).to_input(columns)
    }

    fn pass<'a>(&'a self, params: &'a Params, of_out: &'a [f32]) -> Pass<'a> {
        let units = Units::of(&self.dense, params);
        let hidden = self.hidden.iter();
        Pass {
            products: self.products,
            rows: rows(&self.input) as usize / units.replicates,
            input: numbers(&self.input),
            hidden: hidden
                .map(|(slope, h)| (slope.as_ref().map(numbers), numbers(h)))
                .collect(),
            of_out,
            units,
        }
    }
}

impl Pass<'_> {
    /// What a layer of a unit read, `[rows, in]`.
    fn read(&self, unit: usize, layer: usize) -> &[f32] {
        match layer {
            0 => self.units.input(self.input, unit),
            _ => self.own_of(self.hidden[layer - 1].1, unit),
        }
    }

    /// One unit with all its rows.
    pub(super) fn whole_way(&self, unit: usize, of_params: OfParams) {
        let layers = &self.units.layers[unit];
        let rows = self.rows;
        BETWEEN.with_borrow_mut(|[one, other, ..]| {
            let first = room(one, rows * layers[layers.len() - 1].outputs);
            first.copy_from_slice(self.own_of(self.of_out, unit));
            for (index, (layer, (of_weight, of_bias))) in layers.iter().zip(of_params).enumerate().rev() {
                let g = &one[..rows * layer.outputs];
                let h = self.read(unit, index);
                let h_turned = Matrix::new(h, rows, layer.inputs).transposed();
                let right = Matrix::new(g, rows, layer.outputs);
                multiply(self.products, h_turned, right, of_weight, Finish::Plain);
                sum_rows(g, of_bias);
                if index > 0 {
                    let slope = self.hidden[index - 1].0.map(|slope| self.own_of(slope, unit));
                    let down = room(other, rows * layer.inputs);
                    self.through(layer, g, (slope, h), down);
                    std::mem::swap(one, other);
                }
            }
        });
    }

    /// The gradient by what was before a layer's activation, from that by what came out of the layer, `g`.
    fn through(&self, layer: &UnitLayer, g: &[f32], (slope, h): (Option<&[f32]>, &[f32]), down: &mut [f32]) {
        let g = Matrix::new(g, g.len() / layer.outputs, layer.outputs);
        let finish = slope.map_or(Finish::WherePositive(h), Finish::Times);
        multiply(self.products, g, layer.weight().transposed(), down, finish);
    }

    /// The gradient by some columns of the input, `[R·B, columns]`. Rows whose result has no part in the loss are left out:
    /// of those through which an actor climbs the smallest of several values, each is one member's.
    fn to_input(&self, columns: Range<usize>) -> Vec<f32> {
        let (units, width) = (self.units.count(), columns.len());
        let chosen: Vec<Vec<usize>> = (0..units).map(|unit| self.rows_of(unit)).collect();
        // Threads share what is left, not the units: one member may have most of the rows.
        let left: usize = chosen.iter().map(Vec::len).sum();
        let each = left.div_ceil(crew::threads()).next_multiple_of(VECTORS).max(VECTORS);
        let mut parts: Vec<(usize, &[usize], Vec<f32>)> = Vec::new();
        for (unit, rows) in chosen.iter().enumerate() {
            parts.extend(
                rows.chunks(each)
                    .map(|rows| (unit, rows, vec![0.0; rows.len() * width])),
            );
        }
        crew::each(parts.iter_mut().collect(), |(unit, rows, down)| {
            let layers = &self.units.layers[*unit];
            BETWEEN.with_borrow_mut(|[one, other, of_h, of_slope]| {
                gather(
                    self.own_of(self.of_out, *unit),
                    rows,
                    layers[layers.len() - 1].outputs,
                    one,
                );
                for (index, layer) in layers.iter().enumerate().skip(1).rev() {
                    let (slope, h) = self.hidden[index - 1];
                    let gathered = |numbers, to| self.gathered(numbers, *unit, rows, layer.inputs, to);
                    let (h, slope) = (gathered(h, of_h), slope.map(|slope| gathered(slope, of_slope)));
                    let down = room(other, rows.len() * layer.inputs);
                    self.through(layer, &one[..rows.len() * layer.outputs], (slope, h), down);
                    std::mem::swap(one, other);
                }
                let g = Matrix::new(&one[..rows.len() * layers[0].outputs], rows.len(), layers[0].outputs);
                let of_columns = layers[0].weight().rows(columns.start, width).transposed();
                multiply(self.products, g, of_columns, down, Finish::Plain);
            });
        });
        // Unit by unit, so that members are added up in their order.
        let mut sum = vec![0.0; self.units.replicates * self.rows * width];
        for (unit, rows, down) in &parts {
            let first = unit % self.units.replicates * self.rows;
            for (row, down) in rows.iter().zip(down.chunks_exact(width)) {
                let sum = &mut sum[(first + row) * width..][..width];
                sum.iter_mut().zip(down).for_each(|(sum, down)| *sum += down);
            }
        }
        sum
    }

    /// The numbers of a unit.
    fn own_of<'n>(&self, numbers: &'n [f32], unit: usize) -> &'n [f32] {
        own(numbers, unit, numbers.len() / self.units.count())
    }

    /// Rows of a unit by whose result the loss changes.
    fn rows_of(&self, unit: usize) -> Vec<usize> {
        let of_out = self.own_of(self.of_out, unit);
        let rows = of_out.chunks_exact(of_out.len() / self.rows).enumerate();
        rows.filter(|(_, row)| row.iter().any(|number| *number != 0.0))
            .map(|(row, _)| row)
            .collect()
    }

    /// Some rows of a unit, where they lie if they lie together.
    fn gathered<'n>(
        &self,
        numbers: &'n [f32],
        unit: usize,
        rows: &[usize],
        width: usize,
        to: &'n mut Vec<f32>,
    ) -> &'n [f32] {
        let own = self.own_of(numbers, unit);
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if last - first + 1 == rows.len() => &own[first * width..(last + 1) * width],
            _ => gather(own, rows, width, to),
        }
    }

    /// The way down in parts of so many rows, each through all layers. Leaves the gradients by what was before the
    /// activations in `of_hidden`, `[E, R·B, width]` each.
    fn down_in_parts(&self, each: usize, of_hidden: &mut [&mut [f32]]) {
        struct Part<'p> {
            unit: usize,
            rows: Range<usize>,
            of_hidden: Vec<&'p mut [f32]>,
        }
        let mut parts: Vec<Part> = Vec::new();
        for unit in 0..self.units.count() {
            for first in (0..self.rows).step_by(each) {
                parts.push(Part {
                    unit,
                    rows: first..self.rows.min(first + each),
                    of_hidden: Vec::new(),
                });
            }
        }
        for (of_hidden, layer) in of_hidden.iter_mut().zip(&self.units.layers[0]) {
            let units = of_hidden.chunks_exact_mut(self.rows * layer.outputs);
            let cuts = units.flat_map(|unit| unit.chunks_mut(each * layer.outputs));
            parts
                .iter_mut()
                .zip(cuts)
                .for_each(|(part, cut)| part.of_hidden.push(cut));
        }
        crew::each(parts, |Part { unit, rows, of_hidden }| {
            let layers = &self.units.layers[unit];
            let part_of = |numbers, width: usize| &self.own_of(numbers, unit)[rows.start * width..rows.end * width];
            // That by a layer's result, from layer to layer.
            let mut g = part_of(self.of_out, layers[layers.len() - 1].outputs);
            for ((index, layer), down) in layers.iter().enumerate().skip(1).zip(of_hidden).rev() {
                let (slope, h) = self.hidden[index - 1];
                let slope = slope.map(|slope| part_of(slope, layer.inputs));
                self.through(layer, g, (slope, part_of(h, layer.inputs)), down);
                g = down;
            }
        });
    }

    /// The gradients of parameters, from those by what was before the activations, in parts of some rows of weights.
    fn of_params_in_parts(&self, of_hidden: &[&mut [f32]], of_params: &mut [f32]) {
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
        for (unit, of_layers) in self.units.gradients(of_params).into_iter().enumerate() {
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
            let g = self.own_of(
                of_hidden.get(part.layer).map_or(self.of_out, |of_hidden| &**of_hidden),
                part.unit,
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

/// Some rows of `numbers`, one after the other.
fn gather<'t>(numbers: &[f32], rows: &[usize], width: usize, to: &'t mut Vec<f32>) -> &'t [f32] {
    let to = room(to, rows.len() * width);
    for (row, to) in rows.iter().zip(to.chunks_exact_mut(width)) {
        to.copy_from_slice(own(numbers, *row, width));
    }
    to
}
