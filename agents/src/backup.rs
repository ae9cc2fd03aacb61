//! The one Bellman line that all critics share, with and without the entropy of the next action.
//!
//! Where a batch has several augmented copies of its next observations, this is where their targets are averaged, and
//! where the one target of a row is handed to the copies of its observation.

use tch::Tensor;

use crate::{
    batch::Batch,
    nn::{
        explicit,
        numbers::{numbers, numbers_mut},
    },
};

/// Soft Bellman target `y = r + discount · (v − α·log π)`.
///
/// `log_prob`: `[K·B]`; `next_value`: `[.., K·B]`, value units; `alpha`: scalar, or one for every row. Returns
/// `[.., M·B]`. K is 1 and M is 1 unless the batch is augmented (see [`Batch`]): v − α·log π is averaged over the K
/// copies, number by number. The discount already holds γᵏ and the termination, so neither appears here.
///
/// Source: Haarnoja et al. 2018b (arXiv 1812.05905), equations 2, 3 and 6; the average is Kostrikov et al. 2020's (arXiv
/// 2004.13649), equation 1.
pub fn soft_backup(batch: &Batch, next_value: &Tensor, alpha: &Tensor, log_prob: &Tensor) -> Tensor {
    match by_hand(batch, next_value, Some((alpha, log_prob))) {
        Some(target) => target,
        None => backup(batch, &(next_value - alpha * log_prob)),
    }
}

/// The same without autograd's graph or any other step in between, in one pass: where no gradient is wanted, one copy of
/// every observation is at hand, and numbers can be read.
fn by_hand(batch: &Batch, next_value: &Tensor, entropy: Option<(&Tensor, &Tensor)>) -> Option<Tensor> {
    let (alpha, log_prob) = entropy.unzip();
    let given = [
        Some(next_value),
        alpha,
        log_prob,
        Some(&batch.reward),
        Some(&batch.discount),
    ];
    let one_copy = batch.value_draws() == 1 && batch.target_draws() == 1;
    if !one_copy || !given.into_iter().flatten().all(explicit::is_plain) {
        return None;
    }
    let mut target = Tensor::empty_like(next_value);
    let (reward, discount) = (numbers(&batch.reward), numbers(&batch.discount));
    let alpha = alpha.map_or(&[0.0][..], numbers);
    let alpha_of = |row: usize| alpha[row.min(alpha.len() - 1)];
    let log_prob = log_prob.map(numbers);
    let rows = reward.len();
    let members = numbers(next_value).chunks_exact(rows);
    for (value, target) in members.zip(numbers_mut(&mut target).chunks_exact_mut(rows)) {
        for (row, target) in target.iter_mut().enumerate() {
            let entropy = log_prob.map_or(0.0, |log_prob| alpha_of(row) * log_prob[row]);
            *target = reward[row] + discount[row] * (value[row] - entropy);
        }
    }
    Some(target)
}

/// Bellman target `y = r + discount · v`, for values that hold the entropy already.
///
/// Shapes as for [`soft_backup`].
///
/// Source: Haarnoja et al. 2018a (arXiv 1801.01290), equation 8.
pub fn backup(batch: &Batch, next_value: &Tensor) -> Tensor {
    if let Some(target) = by_hand(batch, next_value, None) {
        return target;
    }
    let target = &batch.reward + &batch.discount * batch.over_target_draws(next_value); // [.., B]
    batch.for_value_draws(&target)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::noise::Stream;

    #[test]
    fn targets_are_averaged_over_copies_of_next_observations_and_handed_to_those_of_observations() {
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
        let found = soft_backup(&batch, &value, &alpha, &log_prob);
        assert_eq!(found.size(), [2, m * b]);
        let plain = |tensor: &Tensor| tensor.shallow_clone();
        let one = Batch::new(
            batch.first_obs(),
            plain(&batch.action),
            plain(&batch.reward),
            plain(&batch.discount),
            batch.next_obs.narrow(0, 0, b),
        );
        let of_copy = |copy: i64| {
            let (value, log_prob) = (value.narrow(1, copy * b, b), log_prob.narrow(0, copy * b, b));
            soft_backup(&one, &value, &alpha, &log_prob) // [2, B]
        };
        let mean = (of_copy(0) + of_copy(1)) / 2.0;
        for copy in 0..m {
            let apart = (found.narrow(1, copy * b, b) - &mean).abs().max().double_value(&[]);
            assert!(apart < 1e-6, "copy {copy}: {apart}");
        }
    }
}
