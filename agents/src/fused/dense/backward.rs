//! The backward pass: [`Tape::to_params`], [`Tape::to_input`].

use std::{cell::RefCell, ops::Range};

use sac_kernels::{
    ThreadPool,
    bfloat16::Bfloat16,
    product::{Finish, Matrix, sum_rows},
};

use super::{MemberGradients, MemberLayer, Members, SCRATCH, Tape, VECTORS, buffer, multiply, nth};
use crate::{nn::Params, slices::as_slice};

thread_local! {
    /// Buffers for the gradients with respect to z.
    static OF_Z: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// The inputs of a backward pass.
pub(super) struct Backward<'a> {
    pub(super) threads: &'a ThreadPool,
    pub(super) rounding: Option<Bfloat16>,
    pub(super) members: Members<'a>,
    /// B.
    pub(super) rows: usize,
    /// `[B, in]`.
    pub(super) input: &'a [f32],
    /// φ'(z), except for ReLU, and h of each hidden layer, `[E, B, width]`.
    pub(super) hidden: Vec<(Option<&'a [f32]>, &'a [f32])>,
    /// ∂loss/∂out, `[E, B, out]`.
    pub(super) of_out: &'a [f32],
}

impl Tape {
    /// Computes the gradient `[P]` with respect to the parameters from the gradient `of_out` with respect to the
    /// outputs, `[E, B, out]` or `[B, out]`. Writes it to `gradient` in the order of the layout, weight and bias of
    /// every layer.
    pub(crate) fn to_params(&self, params: &Params, of_out: &[f32], gradient: &mut [f32]) {
        let pass = self.backward(params, of_out);
        let per_part = self.dense.rows_per_part(pass.members.count(), pass.rows);
        // Each member is one part: one thread can sum its gradients over all rows.
        if per_part == pass.rows {
            let of_members = pass.members.split_gradient(gradient).into_iter().enumerate().collect();
            let whole = |(member, gradients)| pass.member(member, gradients);
            return self.dense.threads.for_each(of_members, whole);
        }
        OF_Z.with_borrow_mut(|buffers| {
            buffers.resize_with(self.hidden.len(), Vec::new);
            let buffers = buffers.iter_mut().zip(&pass.hidden);
            let mut of_z: Vec<&mut [f32]> = buffers.map(|(of_z, (_, h))| buffer(of_z, h.len())).collect();
            pass.of_z_in_parts(per_part, &mut of_z);
            pass.of_params_in_parts(&of_z, gradient);
        });
    }

    /// Computes the gradient `[B, columns]` with respect to some columns of the input, summed over members.
    pub(crate) fn to_input(&self, params: &Params, of_out: &[f32], columns: Range<usize>) -> Vec<f32> {
        self.backward(params, of_out).to_input(columns)
    }

    fn backward<'a>(&'a self, params: &'a Params, of_out: &'a [f32]) -> Backward<'a> {
        let input = as_slice(&self.input);
        let hidden = self.hidden.iter();
        Backward {
            threads: &self.dense.threads,
            rounding: self.rounding,
            members: self.dense.members(params),
            rows: input.len() / self.dense.inputs(),
            input,
            hidden: hidden
                .map(|(derivative, h)| (derivative.as_ref().map(as_slice), as_slice(h)))
                .collect(),
            of_out,
        }
    }
}

impl Backward<'_> {
    /// The inputs `[rows, in]` of a layer of a member.
    fn input_of(&self, member: usize, layer: usize) -> &[f32] {
        match layer {
            0 => self.input,
            _ => self.member_values(self.hidden[layer - 1].1, member),
        }
    }

    /// Computes the gradients of one member's parameters over all rows.
    pub(super) fn member(&self, member: usize, gradients: MemberGradients) {
        let layers = &self.members.0[member];
        let rows = self.rows;
        SCRATCH.with_borrow_mut(|[current, next, ..]| {
            let first = buffer(current, rows * layers[layers.len() - 1].outputs);
            first.copy_from_slice(self.member_values(self.of_out, member));
            for (index, (layer, (of_weight, of_bias))) in layers.iter().zip(gradients).enumerate().rev() {
                let g = &current[..rows * layer.outputs];
                let h = self.input_of(member, index);
                let h_transposed = Matrix::new(h, rows, layer.inputs).transposed();
                let right = Matrix::new(g, rows, layer.outputs);
                multiply(self.rounding, h_transposed, right, of_weight, Finish::Plain);
                sum_rows(g, of_bias);
                if index > 0 {
                    let derivative = self.hidden[index - 1].0;
                    let derivative = derivative.map(|derivative| self.member_values(derivative, member));
                    let down = buffer(next, rows * layer.inputs);
                    self.through(layer, g, (derivative, h), down);
                    std::mem::swap(current, next);
                }
            }
        });
    }

    /// Computes the gradient `down` with respect to the z of the layer below, from the gradient `g` with respect to the
    /// layer's own z.
    fn through(&self, layer: &MemberLayer, g: &[f32], (derivative, h): (Option<&[f32]>, &[f32]), down: &mut [f32]) {
        let g = Matrix::new(g, g.len() / layer.outputs, layer.outputs);
        let finish = derivative.map_or(Finish::WherePositive(h), Finish::Times);
        multiply(self.rounding, g, layer.weight().transposed(), down, finish);
    }

    /// Computes the gradient `[B, columns]` with respect to some columns of the input. Rows of a member with zero
    /// output gradient are skipped: with a minimum over members, each row has a gradient in one member only.
    fn to_input(&self, columns: Range<usize>) -> Vec<f32> {
        let (members, width) = (self.members.count(), columns.len());
        let chosen: Vec<Vec<usize>> = (0..members).map(|member| self.rows_with_gradient(member)).collect();
        // Divide by rows instead of members, because one member may have most of the remaining rows.
        let left: usize = chosen.iter().map(Vec::len).sum();
        let per_part = left.div_ceil(self.threads.threads());
        let per_part = per_part.next_multiple_of(VECTORS).max(VECTORS);
        let mut parts: Vec<(usize, &[usize], Vec<f32>)> = Vec::new();
        for (member, rows) in chosen.iter().enumerate() {
            let of_member = rows.chunks(per_part);
            parts.extend(of_member.map(|rows| (member, rows, vec![0.0; rows.len() * width])));
        }
        self.threads
            .for_each(parts.iter_mut().collect(), |(member, rows, down)| {
                let layers = &self.members.0[*member];
                SCRATCH.with_borrow_mut(|[current, next, of_h, of_derivative]| {
                    let outputs = layers[layers.len() - 1].outputs;
                    gather(self.member_values(self.of_out, *member), rows, outputs, current);
                    for (index, layer) in layers.iter().enumerate().skip(1).rev() {
                        let (derivative, h) = self.hidden[index - 1];
                        let gathered = |values, to| self.gathered(values, *member, rows, layer.inputs, to);
                        let h = gathered(h, of_h);
                        let derivative = derivative.map(|derivative| gathered(derivative, of_derivative));
                        let down = buffer(next, rows.len() * layer.inputs);
                        self.through(layer, &current[..rows.len() * layer.outputs], (derivative, h), down);
                        std::mem::swap(current, next);
                    }
                    let g = Matrix::new(
                        &current[..rows.len() * layers[0].outputs],
                        rows.len(),
                        layers[0].outputs,
                    );
                    let of_columns = layers[0].weight().rows(columns.start, width).transposed();
                    multiply(self.rounding, g, of_columns, down, Finish::Plain);
                });
            });
        // Parts are added in the order of members, so that sums do not depend on the threads.
        let mut sum = vec![0.0; self.rows * width];
        for (_, rows, down) in &parts {
            for (row, down) in rows.iter().zip(down.chunks_exact(width)) {
                let sum = &mut sum[row * width..][..width];
                sum.iter_mut().zip(down).for_each(|(sum, down)| *sum += down);
            }
        }
        sum
    }

    /// The part of `values` that belongs to a member.
    fn member_values<'n>(&self, values: &'n [f32], member: usize) -> &'n [f32] {
        nth(values, member, values.len() / self.members.count())
    }

    /// Rows of a member whose output gradient is not zero.
    fn rows_with_gradient(&self, member: usize) -> Vec<usize> {
        let of_out = self.member_values(self.of_out, member);
        let rows = of_out.chunks_exact(of_out.len() / self.rows).enumerate();
        rows.filter(|(_, row)| row.iter().any(|value| *value != 0.0))
            .map(|(row, _)| row)
            .collect()
    }

    /// Some rows of a member, without a copy if they are contiguous.
    fn gathered<'n>(
        &self,
        values: &'n [f32],
        member: usize,
        rows: &[usize],
        width: usize,
        to: &'n mut Vec<f32>,
    ) -> &'n [f32] {
        let member_values = self.member_values(values, member);
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if last - first + 1 == rows.len() => {
                &member_values[first * width..(last + 1) * width]
            }
            _ => gather(member_values, rows, width, to),
        }
    }

    /// Computes the gradients with respect to every z `[E, B, width]`, and writes them to `of_z`. Each part has
    /// `per_part` rows and goes through all layers.
    fn of_z_in_parts(&self, per_part: usize, of_z: &mut [&mut [f32]]) {
        struct Part<'p> {
            member: usize,
            rows: Range<usize>,
            of_z: Vec<&'p mut [f32]>,
        }
        let mut parts: Vec<Part> = Vec::new();
        for member in 0..self.members.count() {
            for first in (0..self.rows).step_by(per_part) {
                parts.push(Part {
                    member,
                    rows: first..self.rows.min(first + per_part),
                    of_z: Vec::new(),
                });
            }
        }
        for (of_z, layer) in of_z.iter_mut().zip(&self.members.0[0]) {
            let members = of_z.chunks_exact_mut(self.rows * layer.outputs);
            let pieces = members.flat_map(|member| member.chunks_mut(per_part * layer.outputs));
            parts
                .iter_mut()
                .zip(pieces)
                .for_each(|(part, piece)| part.of_z.push(piece));
        }
        self.threads.for_each(parts, |Part { member, rows, of_z }| {
            let layers = &self.members.0[member];
            let part_of =
                |values, width: usize| &self.member_values(values, member)[rows.start * width..rows.end * width];
            let mut g = part_of(self.of_out, layers[layers.len() - 1].outputs);
            for ((index, layer), down) in layers.iter().enumerate().skip(1).zip(of_z).rev() {
                let (derivative, h) = self.hidden[index - 1];
                let derivative = derivative.map(|derivative| part_of(derivative, layer.inputs));
                self.through(layer, g, (derivative, part_of(h, layer.inputs)), down);
                g = down;
            }
        });
    }

    /// Computes the gradient `[P]` with respect to the parameters from those with respect to every z. Each part is a
    /// range of rows of a weight matrix.
    fn of_params_in_parts(&self, of_z: &[&mut [f32]], gradient: &mut [f32]) {
        struct Part<'p> {
            member: usize,
            layer: usize,
            /// First row of the weight matrix.
            first: usize,
            of_weight: &'p mut [f32],
            of_bias: Option<&'p mut [f32]>,
        }
        let per_member = self.threads.threads().div_ceil(self.members.count());
        let mut parts: Vec<Part> = Vec::new();
        for (member, of_layers) in self.members.split_gradient(gradient).into_iter().enumerate() {
            for (layer, (of_weight, of_bias)) in of_layers.into_iter().enumerate() {
                let MemberLayer { inputs, outputs, .. } = self.members.0[member][layer];
                let rows = inputs.div_ceil(per_member);
                let mut of_bias = Some(of_bias);
                for (index, of_weight) in of_weight.chunks_mut(rows * outputs).enumerate() {
                    parts.push(Part {
                        member,
                        layer,
                        first: index * rows,
                        of_weight,
                        of_bias: of_bias.take(),
                    });
                }
            }
        }
        self.threads.for_each(parts, |part| {
            let MemberLayer { inputs, outputs, .. } = self.members.0[part.member][part.layer];
            let g = of_z.get(part.layer).map_or(self.of_out, |of_z| &**of_z);
            let g = self.member_values(g, part.member);
            if let Some(of_bias) = part.of_bias {
                sum_rows(g, of_bias);
            }
            let h = Matrix::new(self.input_of(part.member, part.layer), self.rows, inputs).transposed();
            let h = h.rows(part.first, part.of_weight.len() / outputs);
            let right = Matrix::new(g, self.rows, outputs);
            multiply(self.rounding, h, right, part.of_weight, Finish::Plain);
        });
    }
}

/// Copies some rows of `values` to `to`, one after the other.
fn gather<'t>(values: &[f32], rows: &[usize], width: usize, to: &'t mut Vec<f32>) -> &'t [f32] {
    let to = buffer(to, rows.len() * width);
    for (row, to) in rows.iter().zip(to.chunks_exact_mut(width)) {
        to.copy_from_slice(nth(values, *row, width));
    }
    to
}
