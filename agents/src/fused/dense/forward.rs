//! The forward pass: [`Dense::forward`], and [`Dense::at_few_rows`] for acting.

use sac_kernels::{
    Activation,
    bfloat16::Bfloat16,
    product::{Finish, Matrix, few_rows},
};
use tch::{Device, Kind, Tensor};

use super::{Dense, DenseLayer, MemberLayer, SCRATCH, Tape, buffer, multiply};
use crate::{
    nn::Params,
    slices::{as_slice, as_slice_mut},
};

/// A range of rows of one member, which goes through all layers.
pub(super) struct Part<'a> {
    pub(super) rows: usize,
    /// Buffers of each hidden layer, if there will be a backward pass.
    pub(super) kept: Vec<HiddenBuffers<'a>>,
    pub(super) out: &'a mut [f32],
}

/// Buffers for the values that a hidden layer keeps for the backward pass.
pub(super) struct HiddenBuffers<'a> {
    /// φ'(z), except for ReLU.
    pub(super) derivative: Option<&'a mut [f32]>,
    pub(super) h: &'a mut [f32],
}

impl Dense {
    /// The outputs `[E, B, out]` at `x [B, in]`, or `[B, out]` of a single network, detached.
    pub(crate) fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        self.run(params, x, false).0
    }

    /// [`Dense::forward`] in `f32`.
    pub(crate) fn forward_in_f32(&self, params: &Params, x: &Tensor) -> Tensor {
        let dense = Dense {
            rounding: None,
            ..self.clone()
        };
        dense.forward(params, x)
    }

    /// [`Dense::forward`], with a tape for the backward pass.
    pub(crate) fn forward_taped(&self, params: &Params, x: &Tensor) -> (Tensor, Tape) {
        let (out, tape) = self.run(params, x, true);
        (out, tape.expect("a tape was requested"))
    }

    fn run(&self, params: &Params, x: &Tensor, keep: bool) -> (Tensor, Option<Tape>) {
        let rounding = self.rounding_with(params);
        let _guard = tch::no_grad_guard();
        let input = x.contiguous();
        let members = self.members(params);
        let rows = input.size()[0] as usize;
        let per_part = self.rows_per_part(members.count(), rows);
        let empty = |width: usize| {
            let shape = [members.count() as i64, rows as i64, width as i64];
            Tensor::empty(shape, (Kind::Float, Device::Cpu))
        };
        let (hidden_layers, last) = self.layers.split_at(self.layers.len() - 1);
        let keeps_derivatives = self.keeps_derivatives();
        let mut hidden: Vec<(Option<Tensor>, Tensor)> = match keep {
            true => hidden_layers
                .iter()
                .map(|layer| (keeps_derivatives.then(|| empty(layer.outputs)), empty(layer.outputs)))
                .collect(),
            false => Vec::new(),
        };
        let mut out = self.empty_outputs(rows, members.count());

        let division = Division { rows, per_part };
        let mut parts: Vec<(usize, usize, Part)> = Vec::new();
        for (member, outs) in division.of(&mut out, last[0].outputs).into_iter().enumerate() {
            for (index, out) in outs.into_iter().enumerate() {
                let part = Part {
                    rows: out.len() / last[0].outputs,
                    kept: Vec::new(),
                    out,
                };
                parts.push((member, index * per_part, part));
            }
        }
        for ((derivative, h), layer) in hidden.iter_mut().zip(hidden_layers) {
            let derivatives = derivative
                .as_mut()
                .map(|derivative| division.of(derivative, layer.outputs).into_iter().flatten());
            let mut derivatives = derivatives.into_iter().flatten();
            let hs = division.of(h, layer.outputs).into_iter().flatten();
            for ((_, _, part), h) in parts.iter_mut().zip(hs) {
                let derivative = derivatives.next();
                part.kept.push(HiddenBuffers { derivative, h });
            }
        }
        let (from, width) = (as_slice(&input), self.inputs());
        self.threads.for_each(parts, |(member, first, part)| {
            let input_rows = &from[first * width..(first + part.rows) * width];
            part.run(input_rows, &members.0[member], self.activation, rounding);
        });
        drop(members);
        let tape = keep.then(|| Tape {
            dense: self.clone(),
            input,
            hidden,
            rounding,
        });
        (out, tape)
    }

    /// An uninitialised tensor for the outputs, `[E, B, out]`, or `[B, out]` of a single network.
    pub(super) fn empty_outputs(&self, rows: usize, members: usize) -> Tensor {
        let (rows, width) = (rows as i64, self.layers[self.layers.len() - 1].outputs as i64);
        match self.is_single {
            true => Tensor::empty([rows, width], (Kind::Float, Device::Cpu)),
            false => Tensor::empty([members as i64, rows, width], (Kind::Float, Device::Cpu)),
        }
    }

    /// Calls `read` with the outputs `[rows, out]` of a single network at a few rows `x [rows, in]`. They are computed
    /// in `f32`, with the same bits on every processor. Allocates nothing after the first call.
    pub(crate) fn at_few_rows<R>(&self, params: &Params, x: &[f32], read: impl FnOnce(&[f32]) -> R) -> R {
        let rows = x.len() / self.inputs().max(1);
        SCRATCH.with_borrow_mut(|[current, next, before, _]| {
            let last = self.layers.len() - 1;
            for (index, layer) in self.layers.iter().enumerate() {
                let DenseLayer { inputs, outputs, .. } = *layer;
                let from = if index == 0 { x } else { &current[..rows * inputs] };
                let relu = self.activation == Activation::Relu && index < last;
                let bias = params.values(layer.bias);
                let h = buffer(next, rows * outputs);
                let is_curved = index < last && !relu;
                let z = if is_curved {
                    buffer(before, rows * outputs)
                } else {
                    &mut *h
                };
                few_rows(from, params.values(layer.weight), inputs, z);
                Finish::Bias { bias, relu }.apply(z, outputs);
                if is_curved {
                    self.activation.apply(buffer(before, rows * outputs), h);
                }
                std::mem::swap(current, next);
            }
            read(&current[..rows * self.layers[last].outputs])
        })
    }
}

/// The division of the members' rows into parts.
struct Division {
    rows: usize,
    per_part: usize,
}

impl Division {
    /// Splits a tensor `[E, rows, width]` by member and part.
    fn of<'t>(&self, tensor: &'t mut Tensor, width: usize) -> Vec<Vec<&'t mut [f32]>> {
        let members = as_slice_mut(tensor).chunks_exact_mut(self.rows * width);
        members
            .map(|member| member.chunks_mut(self.per_part * width).collect())
            .collect()
    }
}

impl Part<'_> {
    /// Computes all layers.
    pub(super) fn run(
        mut self,
        input: &[f32],
        layers: &[MemberLayer],
        activation: Activation,
        rounding: Option<Bfloat16>,
    ) {
        SCRATCH.with_borrow_mut(|[current, next, before, _]| {
            let last = layers.len() - 1;
            let kept = self.kept.len();
            for (index, layer) in layers.iter().enumerate() {
                let relu = index < last && activation == Activation::Relu;
                let bias = Finish::Bias { bias: layer.bias, relu };
                let (behind, ahead) = self.kept.split_at_mut(index.min(kept));
                let from = match (index, behind.last()) {
                    (0, _) => input,
                    (_, Some(before)) => &*before.h,
                    (_, None) => &current[..self.rows * layer.inputs],
                };
                let from = Matrix::new(from, self.rows, layer.inputs);
                let len = self.rows * layer.outputs;
                if index == last {
                    multiply(rounding, from, layer.weight(), self.out, bias);
                    return;
                }
                let (derivative, h) = match ahead.first_mut() {
                    Some(HiddenBuffers { derivative, h }) => (derivative.as_deref_mut(), &mut **h),
                    None => (None, buffer(next, len)),
                };
                match derivative {
                    _ if relu => multiply(rounding, from, layer.weight(), h, bias),
                    Some(z) => {
                        multiply(rounding, from, layer.weight(), z, bias);
                        activation.apply_with_derivative(z, h);
                    }
                    None => {
                        let z = buffer(before, len);
                        multiply(rounding, from, layer.weight(), z, bias);
                        activation.apply(z, h);
                    }
                }
                std::mem::swap(current, next);
            }
        });
    }
}
