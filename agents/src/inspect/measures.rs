//! The formulas of network diagnostics. `docs/metrics.md` explains them.

use tch::{Device, Kind, Tensor};

/// τ: a unit is dormant if its mean absolute activation is at most this fraction of the mean over its layer.
///
/// Source: Sokar et al. 2023 (arXiv 2302.12902), whose experiments with ReDo use 0.025.
pub const DORMANT_THRESHOLD: f64 = 0.025;

/// δ: the fraction of the sum of singular values that the smallest ones, which srank does not count, may have.
///
/// Source: Kumar et al. 2021 (arXiv 2010.14498), section 3.
pub const SRANK_DELTA: f64 = 0.01;

/// All elements in row-major order.
pub(super) fn elements(x: &Tensor) -> Vec<f64> {
    let x = x.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous();
    let mut values = vec![0.0; x.numel()];
    x.copy_data(&mut values, x.numel());
    values
}

pub(super) fn mean_number(x: &Tensor) -> f64 {
    x.mean(Kind::Double).double_value(&[])
}

fn is_finite(x: &Tensor) -> bool {
    x.isfinite().all().int64_value(&[]) != 0
}

/// The fraction of all units that are dormant. `None` without layers, NaN if an activation is not finite.
///
/// `layers`: `[G, U]` each, the mean absolute activations of U units in G networks. A unit is compared with its layer
/// in its own network. All units of a layer with only zeros are dormant, because 0 is at most τ · 0.
///
/// Source: Sokar et al. 2023, definition 3.1.
pub fn dormant_share(layers: &[Tensor]) -> Option<f64> {
    let (mut dormant, mut units) = (0, 0);
    for layer in layers {
        if !is_finite(layer) {
            return Some(f64::NAN);
        }
        let bounds = layer.mean_dim([-1i64].as_slice(), true, Kind::Float) * DORMANT_THRESHOLD; // [G, 1]
        dormant += layer.le_tensor(&bounds).sum(Kind::Int64).int64_value(&[]);
        units += layer.numel() as i64;
    }
    (units > 0).then(|| dormant as f64 / units as f64)
}

/// Singular values of `features [B, F]` in descending order; `None` if a feature is not finite.
///
/// Computed from the eigenvalues of the smaller of XᵀX and XXᵀ in double precision. For 256 × 256 features this takes a
/// tenth of the time of a decomposition of X, with an error below 10⁻⁸ times the largest singular value.
pub fn singular_values(features: &Tensor) -> Option<Vec<f64>> {
    let x = features.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    let [rows, columns] = x.size()[..] else { return None };
    if rows == 0 || columns == 0 || !is_finite(&x) {
        return None;
    }
    let gram = match rows < columns {
        true => x.matmul(&x.transpose(0, 1)),
        false => x.transpose(0, 1).matmul(&x),
    };
    let squared = gram.f_linalg_eigvalsh("L").ok()?;
    let mut values: Vec<f64> = elements(&squared).iter().map(|value| value.max(0.0).sqrt()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    Some(values)
}

/// srank: the smallest k for which the k largest singular values add up to at least 1 − δ of their total; 0 if all are
/// 0.
///
/// Source: Kumar et al. 2021, section 3.
pub fn srank(singular_values: &[f64]) -> f64 {
    let needed = (1.0 - SRANK_DELTA) * singular_values.iter().sum::<f64>();
    let mut held = 0.0;
    let short = singular_values.iter().take_while(|value| {
        let is_short = held < needed;
        held += *value;
        is_short
    });
    short.count() as f64
}

/// Effective rank: exp of the entropy of the singular values normalised to sum 1; 0 if all are 0.
///
/// Source: Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", definition 1.
pub fn effective_rank(singular_values: &[f64]) -> f64 {
    let sum: f64 = singular_values.iter().sum();
    let entropy = |value: &f64| match value / sum {
        share if share > 0.0 => -share * share.ln(),
        _ => 0.0,
    };
    match sum > 0.0 {
        true => singular_values.iter().map(entropy).sum::<f64>().exp(),
        false => 0.0,
    }
}

/// [`srank`] and [`effective_rank`] of features `[B, F]`, or their means over members for `[E, B, F]`. NaN if a feature
/// is not finite.
pub fn ranks(features: &Tensor) -> (f64, f64) {
    let members = match features.dim() {
        2 => vec![features.shallow_clone()],
        _ => features.unbind(0),
    };
    let count = members.len() as f64;
    let of_member = |features: &Tensor| match singular_values(features) {
        Some(values) => (srank(&values), effective_rank(&values)),
        None => (f64::NAN, f64::NAN),
    };
    let sums = members.iter().map(of_member).fold((0.0, 0.0), |sum, ranks| {
        (sum.0 + ranks.0, sum.1 + ranks.1) // over members
    });
    (sums.0 / count, sums.1 / count)
}

/// The entropy −Σ w ln w over the last dimension of `weights […, n]`, nats, between 0 and ln n.
pub fn entropy(weights: &Tensor) -> Tensor {
    -weights
        .xlogy(weights)
        .sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

/// Usage of the slots of a soft mixture of experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// Mean combine weight of each slot, over tokens and observations. The sum over slots is 1.
    pub combine_share: Vec<f64>,
    /// Entropy of each slot's dispatch weights over tokens, nats, averaged over observations. There is no dispatch
    /// share, because the dispatch weights of every slot sum to 1.
    pub dispatch_entropy: Vec<f64>,
    /// Entropy of a token's combine weights over slots, nats, averaged over tokens and observations.
    pub combine_entropy: f64,
}

impl Usage {
    /// The usage for weights `[B, m, S]`.
    pub fn of(dispatch: &Tensor, combine: &Tensor) -> Self {
        let over_slots = entropy(combine); // [B, m]
        let over_tokens = entropy(&dispatch.transpose(1, 2)); // [B, S]
        Usage {
            combine_share: elements(&combine.mean_dim([0i64, 1].as_slice(), false, Kind::Float)),
            dispatch_entropy: elements(&over_tokens.mean_dim([0i64].as_slice(), false, Kind::Float)),
            combine_entropy: mean_number(&over_slots),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-6, "{actual} instead of {expected}");
    }

    #[test]
    fn a_unit_is_dormant_at_a_fortieth_of_its_layers_mean() {
        // Means 1 and 10: the bounds are 0.025 and 0.25.
        let first = Tensor::from_slice(&[0.024f32, 0.026, 1.0, 2.95]).reshape([1, 4]);
        let second = Tensor::from_slice(&[0.2f32, 19.8]).reshape([1, 2]);
        assert_eq!(dormant_share(&[first, second]), Some(2.0 / 6.0));
        assert_eq!(dormant_share(&[]), None);
    }

    #[test]
    fn units_are_compared_with_their_own_member_and_an_inactive_member_is_dormant() {
        let layer = Tensor::from_slice(&[0.001f32, 0.001, 100.0, 100.0, 0.0, 0.0]).reshape([3, 2]);
        assert_eq!(dormant_share(&[layer]), Some(2.0 / 6.0));
    }

    #[test]
    fn singular_values_of_a_matrix_with_known_ones_are_found() {
        // The rows and the columns are orthogonal, with norms 3, 2 and 0.
        let x = Tensor::from_slice(&[0.0f32, 3.0, 0.0, 2.0, 0.0, 0.0]).reshape([2, 3]);
        for x in [x.shallow_clone(), x.transpose(0, 1)] {
            let values = singular_values(&x).expect("finite");
            assert_eq!(values.len(), 2);
            close(values[0], 3.0);
            close(values[1], 2.0);
        }
        let broken = Tensor::from_slice(&[f32::NAN, 1.0]).reshape([1, 2]);
        assert_eq!(singular_values(&broken), None);
        assert!(ranks(&broken).0.is_nan() && ranks(&broken).1.is_nan());
    }

    #[test]
    fn srank_omits_the_smallest_values_up_to_a_hundredth_of_the_sum() {
        close(srank(&[1.0, 1.0, 1.0]), 3.0);
        close(srank(&[98.0, 1.5, 0.5]), 2.0);
        close(srank(&[99.5, 0.5]), 1.0);
        close(srank(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn effective_rank_of_equal_values_is_their_number() {
        close(effective_rank(&[2.0; 5]), 5.0);
        close(effective_rank(&[7.0, 0.0]), 1.0);
        close(effective_rank(&[3.0, 1.0]), (0.75f64.powf(-0.75)) * 0.25f64.powf(-0.25));
        close(effective_rank(&[0.0]), 0.0);
    }

    #[test]
    fn features_of_known_rank_have_that_rank_and_members_are_averaged() {
        // x yᵀ + u vᵀ with orthogonal vectors of equal norm has two equal singular values.
        let x = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0]);
        let u = Tensor::from_slice(&[0.0f32, 1.0, 0.0, 1.0]);
        let y = Tensor::from_slice(&[1.0f32, 1.0, 0.0]);
        let v = Tensor::from_slice(&[1.0f32, -1.0, 0.0]);
        let two = x.outer(&y) + u.outer(&v); // [4, 3]
        let one = x.outer(&y);
        let (of_two, effective) = ranks(&two);
        close(of_two, 2.0);
        close(effective, 2.0);
        let (mean, effective) = ranks(&Tensor::stack(&[two, one], 0));
        close(mean, 1.5);
        close(effective, 1.5);
    }

    #[test]
    fn the_entropy_of_uniform_weights_is_the_logarithm_of_their_number() {
        let weights = Tensor::from_slice(&[0.25f32, 0.25, 0.25, 0.25, 0.0, 1.0, 0.0, 0.0]).reshape([2, 4]);
        let actual = elements(&entropy(&weights));
        close(actual[0], 4f64.ln());
        close(actual[1], 0.0);
    }

    #[test]
    fn usage_of_two_tokens_and_three_slots_equals_that_computed_by_hand() {
        // One observation: rows are tokens, columns are slots.
        let dispatch = Tensor::from_slice(&[1.0f32, 0.5, 0.25, 0.0, 0.5, 0.75]).reshape([1, 2, 3]);
        let combine = Tensor::from_slice(&[0.5f32, 0.5, 0.0, 1.0, 0.0, 0.0]).reshape([1, 2, 3]);
        let usage = Usage::of(&dispatch, &combine);
        for (actual, expected) in usage.combine_share.iter().zip([0.75, 0.25, 0.0]) {
            close(*actual, expected);
        }
        close(usage.combine_share.iter().sum(), 1.0);
        let quarter = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        for (actual, expected) in usage.dispatch_entropy.iter().zip([0.0, 2f64.ln(), quarter]) {
            close(*actual, expected);
        }
        close(usage.combine_entropy, 2f64.ln() / 2.0);
    }
}
