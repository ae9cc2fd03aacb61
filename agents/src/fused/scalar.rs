//! The loss of scalar critics, ½ E[(Q − y)²] per member, and its gradient over slices.

use tch::Tensor;

use super::layers::Layers;
use crate::{
    batch::Batch,
    critic::{Combination, LearnedCritic, ValueFunction, scalar},
    losses::soft_backup,
    noise::Stream,
    policy::ActionDraw,
    report::UpdateReport,
    slices::as_slice,
};

/// The rows of a critic's step: those of the batch, which it learns from, and the next ones, which batch normalisation
/// takes into account.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) batch: &'a Batch,
    pub(super) next: &'a ActionDraw,
}

/// Makes one step of the critic towards `target` `[M·B]`.
pub(super) fn learn(
    layers: &Layers,
    critic: &mut LearnedCritic,
    rows: Rows,
    target: &Tensor,
    stream: &mut Stream,
) -> UpdateReport {
    let (weight, values) = (rows.batch.value_draw_weights(), target.contiguous());
    let (weight, values) = (weight.as_ref().map(as_slice), as_slice(&values));
    let loss = |_: usize, q: &[f32], of_q: &mut [f32]| half_square(q, values, weight, of_q);
    let (q, losses) = descend(layers, &mut critic.functions[0], rows, stream, loss);
    let loss = losses.iter().sum::<f64>() as f32;
    scalar::report(loss.into(), &q.squeeze_dim(-1), target, rows.batch)
}

/// Whether target and loss come from the same forward pass: the critic has no target parameters, and normalises the rows
/// of both together (Bhatt et al. 2024, CrossQ, section 3).
pub(super) fn can_share_pass(layers: &Layers, q: &ValueFunction) -> bool {
    let is_same_pass = q.target.is_none() && q.network.normalizes_by_batch();
    is_same_pass && q.filter().is_none() && !layers.draws()
}

/// [`learn`] with the target of [`can_share_pass`]: the minimum over all members.
pub(super) fn learn_in_one_pass(
    layers: &Layers,
    critic: &mut LearnedCritic,
    Rows { batch, next }: Rows,
    alpha: &Tensor,
    stream: &mut Stream,
) -> UpdateReport {
    let function = &mut critic.functions[0];
    let params = function.online.constants();
    let x = function.input_to_learn(&params, batch, next, stream);
    let (out, tape) = layers.forward_taped(&params, &x, Some(stream)); // [E, M·B + K·B, 1]
    let out = out.squeeze_dim(-1);
    let (own, all) = (batch.obs.size()[0], x.size()[0]);
    let next_q = Combination::Min.apply(&out.narrow(1, own, all - own)); // [K·B]
    let target = soft_backup(batch, &next_q, alpha, &next.log_prob).contiguous(); // [M·B]

    let weight = batch.value_draw_weights();
    let (weight, targets) = (weight.as_ref().map(as_slice), as_slice(&target));
    let mut of_out = vec![0.0; as_slice(&out).len()];
    let by_member = as_slice(&out).chunks_exact(all as usize);
    let losses = by_member.zip(of_out.chunks_exact_mut(all as usize)).map(|(q, of_q)| {
        let own = own as usize;
        half_square(&q[..own], targets, weight, &mut of_q[..own])
    });
    let loss = losses.sum::<f64>() as f32;
    function
        .online
        .step_with(|gradient| tape.to_params(&params, &of_out, gradient));
    scalar::report(loss.into(), &out.narrow(1, 0, own), &target, batch)
}

/// Makes one step of `function` on the sum of its members' losses. Returns the outputs `[E, M·B, K]` before the step,
/// and the results of `loss` by member ([`Layers::forward_backward`]).
pub(super) fn descend<R: Send>(
    layers: &Layers,
    function: &mut ValueFunction,
    Rows { batch, next }: Rows,
    stream: &mut Stream,
    loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
) -> (Tensor, Vec<R>) {
    let params = function.online.constants();
    let x = function.input_to_learn(&params, batch, next, stream);
    let (own, all) = (batch.obs.size()[0], x.size()[0]);
    // Rows that are only normalised together with those of the batch have no loss.
    let loss = |member: usize, out: &[f32], of_out: &mut [f32]| {
        let of_own = out.len() / all as usize * own as usize;
        let (of_out, of_others) = of_out.split_at_mut(of_own);
        of_others.fill(0.0);
        loss(member, &out[..of_own], of_out)
    };
    let (out, results) = function
        .online
        .step_with(|gradient| layers.forward_backward(&params, &x, stream, gradient, loss));
    (out.narrow(1, 0, own), results)
}

/// ½ mean w·(q − y)² over the rows of a member. Writes the gradient with respect to `q` `[B]` to `of_q`.
fn half_square(q: &[f32], target: &[f32], weight: Option<&[f32]>, of_q: &mut [f32]) -> f64 {
    let row_share = 1.0 / q.len() as f32;
    let mut sum = 0.0;
    for (row, of_q) in of_q.iter_mut().enumerate() {
        let error = q[row] - target[row];
        *of_q = weight.map_or(1.0, |weight| weight[row]) * error * row_share;
        sum += f64::from(*of_q * error);
    }
    0.5 * sum
}
