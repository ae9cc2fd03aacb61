//! The equations of Soft Actor-Critic that all critics and policies share.
//!
//! In an augmented batch, the backup averages the targets of a row over the copies of its next observation, and repeats
//! the averaged target for the copies of its observation.

use tch::{Kind, Tensor};

use crate::batch::Batch;

/// Soft Bellman target `y = r + discount · (v − α·log π)`.
///
/// `log_prob`: `[K·B]`; `next_value`: `[.., K·B]`, value units; `alpha`: scalar. Returns `[.., M·B]`. K and M are 1
/// unless the batch is augmented (see [`Batch`]); v − α·log π is averaged over the K copies. The discount already
/// contains γᵏ and is 0 after a termination, so neither appears here.
///
/// Source: Haarnoja et al. 2018b (arXiv 1812.05905), equations 2, 3 and 6; the average is Kostrikov et al. 2020's
/// (arXiv 2004.13649), equation 1.
pub fn soft_backup(batch: &Batch, next_value: &Tensor, alpha: &Tensor, log_prob: &Tensor) -> Tensor {
    backup(batch, &(next_value - alpha * log_prob))
}

/// Bellman target `y = r + discount · v`, for values that already include the entropy.
///
/// Shapes as for [`soft_backup`].
///
/// Source: Haarnoja et al. 2018a (arXiv 1801.01290), equation 8.
pub fn backup(batch: &Batch, next_value: &Tensor) -> Tensor {
    let target = &batch.reward + &batch.discount * batch.over_target_draws(next_value); // [.., B]
    batch.for_value_draws(&target)
}

/// The actor's loss `E[α·log π − v]`, a scalar: minus the soft value of the policy's actions.
///
/// `log_prob`, `value`: `[B]`, attached to the autograd graph; `alpha`: scalar.
///
/// Source: Haarnoja et al. 2018b (arXiv 1812.05905), equation 9.
pub fn actor_loss(alpha: &Tensor, log_prob: &Tensor, value: &Tensor) -> Tensor {
    (alpha * log_prob - value).mean(Kind::Float)
}

/// The temperature's loss `−w · E[log π + H̄]`, a scalar, where w is α or log α.
///
/// `log_prob`: `[B]`, treated as a constant; `target_entropy`: H̄, nats; `weight`: w, a scalar attached to the autograd
/// graph.
///
/// Source: Haarnoja et al. 2018b (arXiv 1812.05905), equation 18, with w = α.
pub fn temperature_loss(weight: &Tensor, log_prob: &Tensor, target_entropy: f64) -> Tensor {
    let excess = (log_prob.detach() + target_entropy).mean(Kind::Float);
    -(weight * excess)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::noise::Stream;

    #[test]
    fn targets_are_averaged_over_copies_of_next_obs_and_repeated_for_copies_of_obs() {
        let mut stream = Stream::derive(1, "backup", 0);
        let (b, k, m) = (3, 2, 4);
        let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu);
        let batch = Batch {
            obs: normal(&[m * b, 5]),
            next_obs: normal(&[k * b, 5]),
            ..Batch::new(
                normal(&[b, 5]),
                normal(&[b, 1]),
                normal(&[b]),
                normal(&[b]),
                normal(&[b, 5]),
            )
        };
        let (value, log_prob) = (normal(&[2, k * b]), normal(&[k * b]));
        let alpha = Tensor::from(0.3).to_kind(Kind::Float);
        let actual = soft_backup(&batch, &value, &alpha, &log_prob);
        assert_eq!(actual.size(), [2, m * b]);
        let plain = |tensor: &Tensor| tensor.shallow_clone();
        let single_copy = Batch::new(
            batch.first_obs(),
            plain(&batch.action),
            plain(&batch.reward),
            plain(&batch.discount),
            batch.next_obs.narrow(0, 0, b),
        );
        let of_copy = |copy: i64| {
            let (value, log_prob) = (value.narrow(1, copy * b, b), log_prob.narrow(0, copy * b, b));
            soft_backup(&single_copy, &value, &alpha, &log_prob) // [2, B]
        };
        let mean = (of_copy(0) + of_copy(1)) / 2.0;
        for copy in 0..m {
            let error = (actual.narrow(1, copy * b, b) - &mean).abs().max().double_value(&[]);
            assert!(error < 1e-6, "copy {copy}: {error}");
        }
    }
}
