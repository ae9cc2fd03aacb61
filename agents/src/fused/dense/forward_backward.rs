//! Forward pass, loss and backward pass, member by member: [`Dense::forward_backward`].

use std::cell::RefCell;

use tch::Tensor;

use super::{
    Dense, Members,
    backward::Backward,
    buffer,
    forward::{HiddenBuffers, Part},
    nth,
};
use crate::{
    nn::Params,
    slices::{as_slice, as_slice_mut},
};

/// Buffers of a member between forward and backward pass: φ'(z) and h of every hidden layer, and the output gradient.
#[derive(Default)]
struct Buffers {
    hidden: Vec<(Vec<f32>, Vec<f32>)>,
    of_out: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl Dense {
    /// Computes the outputs `[E, B, out]` at `x [B, in]`, and writes the gradient `[P]` of the sum of the members'
    /// losses to `gradient`. Returns the outputs, and the results of `loss` by member.
    ///
    /// `loss` is called with a member's index and outputs `[B, out]`, and writes their gradient to its third argument.
    ///
    /// One thread computes both passes of a member, so that its values stay in the cache and threads synchronise once.
    /// With more threads than members, the threads share each pass instead.
    pub(crate) fn forward_backward<R: Send>(
        &self,
        params: &Params,
        x: &Tensor,
        gradient: &mut [f32],
        loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
    ) -> (Tensor, Vec<R>) {
        let input = x.contiguous();
        let (members, rows) = (self.members(params), as_slice(&input).len() / self.inputs());
        let count = members.count();
        if self.rows_per_part(count, rows) < rows {
            let (out, tape) = self.forward_taped(params, x);
            let mut of_out = vec![0.0; as_slice(&out).len()];
            let len = of_out.len() / count;
            let by_member = as_slice(&out).chunks_exact(len).zip(of_out.chunks_exact_mut(len));
            let results = by_member
                .enumerate()
                .map(|(member, (out, of_out))| loss(member, out, of_out))
                .collect();
            tape.to_params(params, &of_out, gradient);
            return (out, results);
        }
        let rounding = self.rounding_with(params);
        let mut out = self.empty_outputs(rows, count);
        let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
        let len = as_slice(&out).len() / count;
        let by_member = as_slice_mut(&mut out)
            .chunks_exact_mut(len)
            .zip(members.split_gradient(gradient))
            .zip(&mut results)
            .enumerate();
        let input = as_slice(&input);
        self.threads
            .for_each(by_member.collect(), |(member, ((out, gradients), result))| {
                BUFFERS.with_borrow_mut(|Buffers { hidden, of_out }| {
                    let layers = &members.0[member];
                    hidden.resize_with(layers.len() - 1, Default::default);
                    let kept = hidden
                        .iter_mut()
                        .zip(layers)
                        .map(|((derivative, h), layer)| HiddenBuffers {
                            derivative: self
                                .keeps_derivatives()
                                .then(|| buffer(derivative, rows * layer.outputs)),
                            h: buffer(h, rows * layer.outputs),
                        });
                    let part = Part {
                        rows,
                        kept: kept.collect(),
                        out: &mut *out,
                    };
                    part.run(input, layers, self.activation, rounding);
                    let of_out = buffer(of_out, out.len());
                    *result = Some(loss(member, out, of_out));
                    let kept = hidden.iter().zip(layers).map(|((derivative, h), layer)| {
                        let len = rows * layer.outputs;
                        let derivative = self.keeps_derivatives().then(|| nth(derivative, 0, len));
                        (derivative, nth(h, 0, len))
                    });
                    let backward = Backward {
                        threads: &self.threads,
                        rounding,
                        members: Members(vec![layers.clone()]),
                        rows,
                        input,
                        hidden: kept.collect(),
                        of_out,
                    };
                    backward.member(0, gradients);
                });
            });
        (out, results.into_iter().flatten().collect())
    }
}
