//! The one Bellman line that all critics share.

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
    reward + discount * (next_value - alpha * log_prob)
}
