//! The forward pass: [`Chain::forward`].

use sac_kernels::{
    norm::{
        columns,
        rows::{RowMoments, RowNorm},
    },
    product::{Finish, Matrix},
};
use tch::{Device, Kind, Tensor};

use super::{Chain, ChainTape, ColumnMoments, Dropped, Inputs, Member, Pass, Placed, Source, Step, StepValues, Values};
use crate::{
    fused::dense::{buffer, multiply},
    nn::{BatchNorm, Params},
    noise::{Stream, kept_factor},
    slices::as_slice_mut,
};

impl Chain {
    /// The outputs `[E, B, out]` at `x [B, in]`, or `[B, out]` of a single network, detached. With a `stream`, dropout
    /// is active.
    pub(crate) fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        self.forward_taped(params, x, stream).0
    }

    /// [`Chain::forward`], with a tape for the backward pass.
    pub(crate) fn forward_taped(
        &self,
        params: &Params,
        x: &Tensor,
        stream: Option<&mut Stream>,
    ) -> (Tensor, ChainTape) {
        let _guard = tch::no_grad_guard();
        let members = self.members(params);
        let inputs = self.inputs_of(params, x, members.len(), stream);
        let pass = inputs.pass(self);
        let mut out = self.empty_outputs(pass.rows, members.len());
        let mut values = self.values(members.len());
        let outs = as_slice_mut(&mut out).chunks_exact_mut(pass.rows * self.outputs());
        let parts = outs.zip(&mut values).zip(&members).enumerate().collect();
        self.threads.for_each(parts, |(index, ((out, values), member))| {
            pass.run((index, member), values, out);
        });
        self.record(params, pass.rows, &values);
        let tape = ChainTape {
            chain: self.clone(),
            inputs,
            values,
        };
        (out, tape)
    }

    /// The inputs of a pass at `x` `[B, in]`. Draws what all dropouts drop.
    pub(super) fn inputs_of(&self, params: &Params, x: &Tensor, members: usize, stream: Option<&mut Stream>) -> Inputs {
        let mut dropped = Vec::new();
        if let Some(stream) = stream {
            for Placed { step, width, .. } in &self.steps {
                if let Step::Dropout(share, _) = step {
                    let units = members * x.size()[0] as usize * width;
                    dropped.push(Dropped {
                        units: stream.dropped_units(units, *share),
                        factor: kept_factor(*share),
                    });
                }
            }
        }
        Inputs {
            x: x.contiguous(),
            dropped,
            by_batch: params.batch().is_some(),
            // Only completely fused networks are rounded, because the others learn in `f32` and must not be evaluated
            // in another precision.
            rounding: self.rounding.filter(|_| self.covers(params)),
        }
    }

    pub(super) fn empty_outputs(&self, rows: usize, members: usize) -> Tensor {
        let (members, rows, width) = (members as i64, rows as i64, self.outputs() as i64);
        match self.is_single {
            true => Tensor::empty([rows, width], (Kind::Float, Device::Cpu)),
            false => Tensor::empty([members, rows, width], (Kind::Float, Device::Cpu)),
        }
    }

    /// Records the statistics of the batch, if the pass used them.
    pub(super) fn record(&self, params: &Params, rows: usize, values: &[Values]) {
        let Some(record) = params.batch() else {
            return;
        };
        for (index, placed) in self.steps.iter().enumerate() {
            if let Step::BatchNorm { norm, .. } = &placed.step {
                let columns = values.iter().map(|values| &values[index].columns);
                let joint = |of: fn(&ColumnMoments) -> &Vec<f32>| {
                    Tensor::from_slice(&columns.clone().flat_map(of).copied().collect::<Vec<f32>>())
                };
                let (mean, variance) = (joint(|moments| &moments.mean), joint(|moments| &moments.variance));
                record.record(norm.observed(params, rows as i64, &mean, &variance));
            }
        }
    }
}

impl Pass<'_> {
    /// Computes all steps of a member.
    pub(super) fn run(&self, (index, member): (usize, &Member), values: &mut Values, out: &mut [f32]) {
        let (x, steps) = (self.x, &self.chain.steps);
        for (at, placed) in steps.iter().enumerate() {
            let (len, read) = (self.rows * placed.width, self.rows * placed.inputs());
            let (before, now) = values.split_at_mut(at);
            let StepValues {
                out: kept,
                columns,
                rows,
            } = &mut now[0];
            let y = match at + 1 == steps.len() {
                true => &mut *out,
                false if placed.step.has_output() => buffer(kept, len),
                false => &mut [],
            };
            match &placed.step {
                Step::Linear {
                    weight,
                    bias,
                    inputs,
                    relu,
                } => {
                    let from = Matrix::new(source(before, placed.from, x, read), self.rows, *inputs);
                    let weight = Matrix::new(member.of(*weight), *inputs, placed.width);
                    let finish = bias.map_or(Finish::Plain, |bias| Finish::Bias {
                        bias: member.of(bias),
                        relu: *relu,
                    });
                    multiply(self.rounding, from, weight, y, finish);
                    if bias.is_none() && *relu {
                        clip(y);
                    }
                }
                Step::BatchNorm { norm, relu } => {
                    let from = source(before, placed.from, x, read);
                    columns.set(norm, member, from, self.by_batch);
                    let (factor, offset) = columns.factor_and_offset(norm, member);
                    columns::apply(from, &columns.mean, (&factor, &offset), *relu, y);
                }
                Step::RowNorm { gain, shift, eps, relu } => {
                    rows.resize(self.rows, RowMoments::default());
                    let norm = RowNorm {
                        gain: member.of(*gain),
                        shift: shift.map(|shift| member.of(shift)),
                        eps: *eps,
                    };
                    norm.forward(source(before, placed.from, x, read), *relu, y, rows);
                }
                // The input becomes the derivative. It is read by nothing else.
                Step::Activate(activation) => activation.apply_with_derivative(changed(before, placed.from, len), y),
                Step::Dropout(_, dropout) => {
                    if let Some(dropped) = self.dropped.get(*dropout) {
                        dropped.apply(index, changed(before, placed.from, len));
                    }
                }
                Step::BeginBlock => {}
                Step::EndBlock(around) => {
                    let sums = source(before, placed.from, x, read)
                        .iter()
                        .zip(source(before, *around, x, len));
                    y.iter_mut()
                        .zip(sums)
                        .for_each(|(y, (inner, around))| *y = around + inner);
                }
            }
        }
    }
}

/// `len` values that a step reads.
pub(super) fn source<'a>(before: &'a [StepValues], from: Source, x: &'a [f32], len: usize) -> &'a [f32] {
    match from {
        Source::Input => x,
        Source::Step(index) => &before[index].out[..len],
    }
}

/// `len` values of an earlier step, to be changed in place.
fn changed(before: &mut [StepValues], from: Source, len: usize) -> &mut [f32] {
    match from {
        Source::Input => unreachable!("the input of a pass is not changed: checked in Chain::add"),
        Source::Step(index) => &mut before[index].out[..len],
    }
}

impl ColumnMoments {
    /// Sets the statistics for inputs `x` `[B, n]`: those of the batch, or the running ones.
    fn set(&mut self, norm: &BatchNorm, member: &Member, x: &[f32], by_batch: bool) {
        let (running_mean, running_variance) = (member.of(norm.mean), member.of(norm.variance));
        let (width, eps) = (running_mean.len(), norm.spec.eps as f32);
        self.mean.clear();
        self.variance.clear();
        match by_batch {
            true => {
                self.mean.resize(width, 0.0);
                self.variance.resize(width, 0.0);
                columns::moments(x, &mut self.mean, &mut self.variance);
            }
            false => {
                self.mean.extend(running_mean);
                self.variance.extend(running_variance);
            }
        }
        self.inverse_std.clear();
        let inverse = self.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt());
        self.inverse_std.extend(inverse);
        self.scale.clear();
        self.scale.resize(width, 1.0);
        self.shift.clear();
        self.shift.resize(width, 0.0);
        let corrected = match (norm.spec.renorm, norm.batches) {
            (Some(spec), Some(batches)) if by_batch => Some(spec).filter(|spec| {
                let so_far = member.of(batches)[0];
                so_far >= spec.warmup_batches as f32
            }),
            _ => None,
        };
        if let Some(spec) = corrected {
            let (most, far) = (spec.largest_scale as f32, spec.largest_shift as f32);
            for column in 0..width {
                let running_std = (running_variance[column] + eps).sqrt();
                let std = (self.variance[column] + eps).sqrt();
                self.scale[column] = clamp(std / running_std, 1.0 / most, most);
                self.shift[column] = clamp((self.mean[column] - running_mean[column]) / running_std, -far, far);
            }
        }
    }

    /// γ·r/√(σ² + ε), and γ·d + β.
    pub(super) fn factor_and_offset(&self, norm: &BatchNorm, member: &Member) -> (Vec<f32>, Vec<f32>) {
        let (gain, shift) = (member.of(norm.gain), member.of(norm.shift));
        let factor = gain.iter().zip(&self.scale).zip(&self.inverse_std);
        let offset = gain.iter().zip(&self.shift).zip(shift);
        (
            factor
                .map(|((gain, scale), inverse_std)| gain * scale * inverse_std)
                .collect(),
            offset.map(|((gain, d), shift)| gain * d + shift).collect(),
        )
    }
}

/// x between two bounds; NaN stays NaN.
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// max(x, 0); NaN stays NaN.
fn clip(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
}
