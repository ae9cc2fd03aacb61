//! The loss of scalar critics, ½ E[(Q − y)²] per member, and its gradient over slices.

use tch::Tensor;

use super::dense::Dense;
use crate::{
    batch::Batch,
    critic::{LearnedCritic, ValueFunction, scalar},
    report::UpdateReport,
    slices::as_slice,
};

/// Makes one step of the critic towards `target` `[M·B]`.
pub(super) fn learn(dense: &Dense, critic: &mut LearnedCritic, batch: &Batch, target: &Tensor) -> UpdateReport {
    let (weight, values) = (batch.value_draw_weights(), target.contiguous());
    let (weight, values) = (weight.as_ref().map(as_slice), as_slice(&values));
    let loss = |_: usize, q: &[f32], of_q: &mut [f32]| half_square(q, values, weight, of_q);
    let (q, losses) = descend(dense, &mut critic.functions[0], batch, loss);
    let loss = losses.iter().sum::<f64>() as f32;
    scalar::report(loss.into(), &q.squeeze_dim(-1), target, batch)
}

/// Makes one step of `function` on the sum of its members' losses. Returns the outputs `[E, M·B, K]` before the step,
/// and the results of `loss` by member ([`Dense::forward_backward`]).
pub(super) fn descend<R: Send>(
    dense: &Dense,
    function: &mut ValueFunction,
    batch: &Batch,
    loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
) -> (Tensor, Vec<R>) {
    let params = function.online.params.frozen();
    let x = function.network.input(params, &batch.obs, &batch.action, None);
    function
        .online
        .step_with(|params, gradient| dense.forward_backward(params, &x, gradient, loss))
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
