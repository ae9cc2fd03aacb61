//! The backward pass: [`ChainTape::to_params`], [`ChainTape::to_input`]; and forward and backward pass in one go,
//! [`Chain::forward_backward`].

use std::ops::Range;

use sac_kernels::{
    norm::{
        columns::{self, Statistics},
        rows::RowNorm,
    },
    product::{Finish, Matrix, sum_rows},
};
use tch::Tensor;

use super::{Chain, ChainTape, ColumnMoments, Member, Pass, Source, Step, Values, forward::source};
use crate::{
    fused::dense::{SCRATCH, buffer, multiply, nth},
    nn::{BatchNorm, ParamIndex, Params},
    noise::Stream,
    slices::as_slice_mut,
};

/// The gradient of one member's parameters by position in the layout. A step takes what it writes.
type Gradients<'a> = Vec<&'a mut [f32]>;

impl ChainTape {
    /// Computes the gradient `[P]` with respect to the parameters from the gradient `of_out` with respect to the
    /// outputs, `[E, B, out]` or `[B, out]`. Writes it to `gradient` in the order of the layout; that of running
    /// statistics is 0.
    pub(crate) fn to_params(&self, params: &Params, of_out: &[f32], gradient: &mut [f32]) {
        let (pass, members) = (self.inputs.pass(&self.chain), self.chain.members(params));
        let gradients = split_gradient(&members, gradient);
        let parts = members.iter().zip(&self.values).zip(gradients).enumerate().collect();
        self.chain
            .threads
            .for_each(parts, |(index, ((member, values), gradients))| {
                let of_out = pass.member_outputs(of_out, index);
                pass.back((index, member), values, of_out, Some(gradients), |_| ());
            });
    }

    /// Computes the gradient `[B, columns]` with respect to some columns of the input, summed over members.
    pub(crate) fn to_input(&self, params: &Params, of_out: &[f32], columns: Range<usize>) -> Vec<f32> {
        let (pass, members) = (self.inputs.pass(&self.chain), self.chain.members(params));
        let mut of_members = vec![Vec::new(); members.len()];
        let parts = members.iter().zip(&self.values).zip(&mut of_members).enumerate();
        self.chain
            .threads
            .for_each(parts.collect(), |(index, ((member, values), of_member))| {
                let of_out = pass.member_outputs(of_out, index);
                pass.back((index, member), values, of_out, None, |of_input| {
                    let rows = of_input.chunks_exact(pass.chain.inputs);
                    *of_member = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
                });
            });
        // In the order of members, so that sums do not depend on the threads.
        let mut sum = vec![0.0; pass.rows * columns.len()];
        for of_member in &of_members {
            sum.iter_mut().zip(of_member).for_each(|(sum, of)| *sum += of);
        }
        sum
    }
}

impl Chain {
    /// Computes the outputs at `x [B, in]`, and writes the gradient `[P]` of the sum of the members' losses to
    /// `gradient`, as [`crate::fused::layers::Layers::forward_backward`] describes.
    pub(crate) fn forward_backward<R: Send>(
        &self,
        params: &Params,
        x: &Tensor,
        stream: &mut Stream,
        gradient: &mut [f32],
        loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
    ) -> (Tensor, Vec<R>) {
        let members = self.members(params);
        let inputs = self.inputs_of(params, x, members.len(), Some(stream));
        let pass = inputs.pass(self);
        let mut out = self.empty_outputs(pass.rows, members.len());
        let mut values = self.values(members.len());
        let mut results: Vec<Option<R>> = members.iter().map(|_| None).collect();
        let outs = as_slice_mut(&mut out).chunks_exact_mut(pass.rows * self.outputs());
        let parts = outs
            .zip(&mut values)
            .zip(&members)
            .zip(split_gradient(&members, gradient))
            .zip(&mut results)
            .enumerate();
        self.threads.for_each(
            parts.collect(),
            |(index, ((((out, values), member), gradients), result))| {
                pass.run((index, member), values, out);
                let mut of_out = vec![0.0; out.len()];
                *result = Some(loss(index, out, &mut of_out));
                pass.back((index, member), values, &of_out, Some(gradients), |_| ());
            },
        );
        self.record(params, pass.rows, &values);
        self.give_back(values);
        (out, results.into_iter().flatten().collect())
    }
}

impl Pass<'_> {
    /// The part of `[E, B, out]` that belongs to a member.
    fn member_outputs<'o>(&self, outputs: &'o [f32], index: usize) -> &'o [f32] {
        nth(outputs, index, self.rows * self.chain.outputs())
    }

    /// Goes back through all steps of a member, given the gradient `of_out` `[B, out]`. With `gradients`, writes those of
    /// the parameters; otherwise hands the gradient with respect to the input, `[B, in]`, to `read`.
    fn back(
        &self,
        (index, member): (usize, &Member),
        values: &Values,
        of_out: &[f32],
        mut gradients: Option<Gradients>,
        read: impl FnOnce(&[f32]),
    ) {
        SCRATCH.with_borrow_mut(|[current, next, around, _]| {
            buffer(current, of_out.len()).copy_from_slice(of_out);
            // Whether the gradient was already set to 0 where a ReLU clipped.
            let mut is_masked = false;
            for (at, placed) in self.chain.steps.iter().enumerate().rev() {
                let g = &mut current[..self.rows * placed.width];
                let from = source(values, placed.from, self.x, self.rows * placed.inputs());
                if placed.step.has_relu() && !is_masked {
                    Finish::WherePositive(&values[at].out[..g.len()]).apply(g, placed.width);
                }
                is_masked = false;
                match &placed.step {
                    Step::Linear {
                        weight, bias, inputs, ..
                    } => {
                        if let Some(gradients) = &mut gradients {
                            let from = Matrix::new(from, self.rows, *inputs).transposed();
                            let right = Matrix::new(g, self.rows, placed.width);
                            multiply(self.rounding, from, right, taken(gradients, *weight), Finish::Plain);
                            if let Some(bias) = bias {
                                sum_rows(g, taken(gradients, *bias));
                            }
                            if at == 0 {
                                break;
                            }
                        }
                        let finish;
                        (finish, is_masked) = self.mask_below(at, from);
                        let g = Matrix::new(g, self.rows, placed.width);
                        let weight = Matrix::new(member.of(*weight), *inputs, placed.width);
                        let down = buffer(next, self.rows * inputs);
                        multiply(self.rounding, g, weight.transposed(), down, finish);
                        std::mem::swap(current, next);
                    }
                    Step::BatchNorm { norm, .. } => {
                        self.batch_norm_back(norm, (member, &values[at].columns), from, g, gradients.as_mut());
                    }
                    Step::RowNorm { gain, shift, eps, .. } => {
                        let norm = RowNorm {
                            gain: member.of(*gain),
                            shift: shift.map(|shift| member.of(shift)),
                            eps: *eps,
                        };
                        let rows = &values[at].rows;
                        match &mut gradients {
                            Some(gradients) => {
                                let of_gain = taken(gradients, *gain);
                                let of_shift = shift.map(|shift| taken(gradients, shift));
                                norm.backward(from, rows, g, of_gain, of_shift);
                            }
                            None => norm.backward(from, rows, g, &mut vec![0.0; placed.width], None),
                        }
                    }
                    // The input was replaced by the derivative.
                    Step::Activate(_) => Finish::Times(from).apply(g, placed.width),
                    Step::Dropout(_, dropout) => {
                        if let Some(dropped) = self.dropped.get(*dropout) {
                            dropped.apply(index, g);
                        }
                    }
                    Step::EndBlock(_) => buffer(around, g.len()).copy_from_slice(g),
                    Step::BeginBlock => g.iter_mut().zip(&*around).for_each(|(g, around)| *g += around),
                }
            }
            match gradients {
                // No step has taken what remains: running statistics.
                Some(gradients) => gradients.into_iter().for_each(|rest| rest.fill(0.0)),
                None => read(&current[..self.rows * self.chain.inputs]),
            }
        });
    }

    /// Goes back through a batch normalisation of the inputs `from`: replaces the gradient `g` of its outputs by that of
    /// `from`, and writes those of gain and shift to `gradients`.
    fn batch_norm_back(
        &self,
        norm: &BatchNorm,
        (member, moments): (&Member, &ColumnMoments),
        from: &[f32],
        g: &mut [f32],
        gradients: Option<&mut Gradients>,
    ) {
        let statistics = Statistics {
            mean: &moments.mean,
            inverse_std: &moments.inverse_std,
        };
        let (factor, _) = moments.factor_and_offset(norm, member);
        if !self.by_batch && gradients.is_none() {
            return columns::scale(&factor, g);
        }
        let (mut of_shift, mut of_normed) = (vec![0.0; factor.len()], vec![0.0; factor.len()]);
        statistics.gradient_sums(from, g, &mut of_shift, &mut of_normed);
        if let Some(gradients) = gradients {
            let corrections = moments.scale.iter().zip(&moments.shift);
            let sums = of_normed.iter().zip(&of_shift).zip(corrections);
            for (of_gain, ((normed, shift), (r, d))) in taken(gradients, norm.gain).iter_mut().zip(sums) {
                *of_gain = r * normed + d * shift;
            }
            taken(gradients, norm.shift).copy_from_slice(&of_shift);
        }
        match self.by_batch {
            true => statistics.backward(from, (&of_shift, &of_normed), &factor, g),
            false => columns::scale(&factor, g),
        }
    }

    /// How the product that leads from the linear step `at` to its inputs `from` is finished, and whether that applies
    /// the ReLU of the step before.
    fn mask_below<'a>(&self, at: usize, from: &'a [f32]) -> (Finish<'a>, bool) {
        let is_before = |index: usize| index + 1 == at && self.chain.steps[index].step.has_relu();
        match self.chain.steps[at].from {
            Source::Step(index) if is_before(index) => (Finish::WherePositive(from), true),
            _ => (Finish::Plain, false),
        }
    }
}

/// Takes the gradient of a parameter.
fn taken<'g>(gradients: &mut Gradients<'g>, index: ParamIndex) -> &'g mut [f32] {
    std::mem::take(&mut gradients[index.position()])
}

/// Splits a gradient `[P]` by member and parameter.
fn split_gradient<'g>(members: &[Member], gradient: &'g mut [f32]) -> Vec<Gradients<'g>> {
    let mut by_member: Vec<Gradients> = members.iter().map(|_| Vec::new()).collect();
    let mut rest = gradient;
    for values in &members[0].0 {
        let (of_param, others) = rest.split_at_mut(members.len() * values.len());
        rest = others;
        let parts = of_param.chunks_exact_mut(values.len());
        by_member
            .iter_mut()
            .zip(parts)
            .for_each(|(member, part)| member.push(part));
    }
    by_member
}
