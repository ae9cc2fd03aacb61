//! The one Bellman line that all critics share, with and without the entropy of the next action.

use tch::Tensor;

/// Soft Bellman target `y = r + discount · (v − α·log π)`.
///
/// `reward`, `discount`, `log_prob`: `[B]`; `next_value`: `[B]` or `[.., B]`, value units; `alpha`: scalar. Returns the
/// shape of `next_value`. The discount already holds γᵏ and the termination, so neither appears here.
///
/// Source: Haarnoja et al. 2018b (arXiv 1812.05905), equations 2, 3 and 6.
pub fn soft_backup(
    reward: &Tensor,
    discount: &Tensor,
    next_value: &Tensor,
    alpha: &Tensor,
    log_prob: &Tensor,
) -> Tensor {
    backup(reward, discount, &(next_value - alpha * log_prob))
}

/// Bellman target `y = r + discount · v`, for values that hold the entropy already.
///
/// Shapes as for [`soft_backup`].
///
/// Source: Haarnoja et al. 2018a (arXiv 1801.01290), equation 8.
pub fn backup(reward: &Tensor, discount: &Tensor, next_value: &Tensor) -> Tensor {
    reward + discount * next_value
}
