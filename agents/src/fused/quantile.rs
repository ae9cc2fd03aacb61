//! The loss of quantile critics ([`crate::critic::quantile`]) and its gradient over slices, pair by pair of atom and
//! target.
//!
//! ```text
//! c = clamp(δ, −κ, κ):   H_κ(δ) = c·(δ − ½ c),   ∂ρ_τ(δ)/∂θ = −|τ − 1{δ < 0}| · c
//! ```

use sac_kernels::widest;
use tch::Tensor;

use super::{
    dense::nth,
    layers::Layers,
    scalar::{Rows, descend},
};
use crate::{
    critic::{CriticStep, LearnedCritic, QuantileSpec, quantile},
    losses::soft_backup,
    noise::Stream,
    policy::ActionDraw,
    report::UpdateReport,
    slices::as_slice,
};

/// Makes one step of the critic towards the target atoms `[J, B]`.
pub(super) fn learn(
    spec: &QuantileSpec,
    layers: &Layers,
    critic: &mut LearnedCritic,
    rows: Rows,
    target: &Tensor,
    stream: &mut Stream,
) -> UpdateReport {
    let weight = rows.batch.value_draw_weights();
    let by_row = target.transpose(0, 1).contiguous(); // [B, J]
    let targets = Targets {
        atoms: as_slice(&by_row),
        count: target.size()[0] as usize,
        weight: weight.as_ref().map(as_slice),
        kappa: spec.huber_kappa as f32,
    };
    let members = critic.q().members() as f32;
    let loss = |_: usize, out: &[f32], of_out: &mut [f32]| member_loss(out, targets, members, of_out);
    let (out, losses) = descend(layers, &mut critic.functions[0], rows, stream, loss);
    let loss = losses.iter().sum::<f64>() as f32;
    quantile::report(loss.into(), &out, target, rows.batch)
}

/// The target atoms `[J, B]` in any order: as [`crate::critic::QuantileCritic`] gives them, without sorting.
pub(super) fn targets(
    spec: &QuantileSpec,
    critic: &LearnedCritic,
    step: &CriticStep,
    next: &ActionDraw,
    stream: &mut Stream,
) -> Tensor {
    let q = critic.q().of_target(step.batch);
    if q.filter().is_some() {
        return critic.targets(step, next, stream).remove(0);
    }
    let _guard = tch::no_grad_guard();
    let atoms = q.at(&step.batch.next_obs, next.sampled(), stream).contiguous(); // [E, K·B, K]
    let kept = smallest(&atoms, spec.dropped_per_member as usize); // [K·B, J]
    soft_backup(step.batch, &kept.transpose(0, 1), step.alpha, &next.log_prob)
}

/// The atoms `[B, J]` of `[E, B, K]` pooled over members, without the E·`dropped_per_member` largest ones.
fn smallest(atoms: &Tensor, dropped_per_member: usize) -> Tensor {
    let (members, rows, quantiles) = atoms.size3().expect("atoms are [E, B, K]");
    let (members, rows, quantiles) = (members as usize, rows as usize, quantiles as usize);
    let count = members * (quantiles - dropped_per_member);
    let from = as_slice(atoms);
    let mut kept: Vec<f32> = Vec::with_capacity(rows * count);
    let mut pooled: Vec<f32> = Vec::with_capacity(members * quantiles);
    for row in 0..rows {
        pooled.clear();
        (0..members).for_each(|member| pooled.extend(nth(from, member * rows + row, quantiles)));
        if count < pooled.len() {
            pooled.select_nth_unstable_by(count, f32::total_cmp);
        }
        kept.extend(&pooled[..count]);
    }
    Tensor::from_slice(&kept).view([rows as i64, count as i64])
}

/// What the atoms of a member are compared with.
#[derive(Clone, Copy)]
struct Targets<'a> {
    /// `[B, J]`.
    atoms: &'a [f32],
    /// J.
    count: usize,
    /// Weights of the rows `[B]`; `None` if all are 1.
    weight: Option<&'a [f32]>,
    kappa: f32,
}

/// The part of a member, one of `members`, in the mean loss, from its atoms `out` `[B, K]`. Writes the gradient with
/// respect to `out` to `of_out`.
fn member_loss(out: &[f32], targets: Targets, members: f32, of_out: &mut [f32]) -> f64 {
    let rows = targets.atoms.len() / targets.count;
    let quantiles = out.len() / rows;
    let pairs = (rows * quantiles * targets.count) as f32 * members;
    let mut loss = 0.0;
    for (row, target) in targets.atoms.chunks_exact(targets.count).enumerate() {
        let share = targets.weight.map_or(1.0, |weight| weight[row]) / pairs;
        for quantile in 0..quantiles {
            let at = row * quantiles + quantile;
            let fraction = (quantile as f32 + 0.5) / quantiles as f32;
            let (of_atom, slope) = widest(
                #[inline(always)]
                || pairs_of_atom(out[at], fraction, target, targets.kappa),
            );
            of_out[at] = slope * share;
            loss += f64::from(of_atom * share);
        }
    }
    loss
}

/// Σ_j ρ_τ(y_j − θ) and its derivative with respect to θ, in sixteen interleaved sums, so that the compiler can use
/// vectors.
#[inline(always)]
fn pairs_of_atom(theta: f32, fraction: f32, targets: &[f32], kappa: f32) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut losses, mut slopes) = ([0.0f32; LANES], [0.0f32; LANES]);
    let chunks = targets.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for ((y, loss), slope) in chunk.iter().zip(&mut losses).zip(&mut slopes) {
            let (of_pair, slope_of_pair) = pair(y - theta, fraction, kappa);
            *loss += of_pair;
            *slope += slope_of_pair;
        }
    }
    for ((y, loss), slope) in rest.iter().zip(&mut losses).zip(&mut slopes) {
        let (of_pair, slope_of_pair) = pair(y - theta, fraction, kappa);
        *loss += of_pair;
        *slope += slope_of_pair;
    }
    (losses.iter().sum(), slopes.iter().sum())
}

/// ρ_τ(δ) and its derivative with respect to θ.
#[inline(always)]
fn pair(error: f32, fraction: f32, kappa: f32) -> (f32, f32) {
    let weight = if error < 0.0 { 1.0 - fraction } else { fraction };
    let clamped = if error < -kappa { -kappa } else { error };
    let clamped = if clamped > kappa { kappa } else { clamped };
    (weight * clamped * (error - 0.5 * clamped), -weight * clamped)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// The definition: the mean over all pairs, computed as a tensor `[B, K, J]`.
    fn losses_by_pairs(atoms: &Tensor, target: &Tensor, kappa: f64) -> Tensor {
        let (_, quantiles) = atoms.size2().expect("atoms are [B, K]");
        let fractions = (Tensor::arange(quantiles, (Kind::Float, Device::Cpu)) + 0.5) / quantiles as f64;
        let error = target.unsqueeze(1) - atoms.unsqueeze(-1);
        let weight = (fractions.unsqueeze(-1) - error.detach().lt(0.0).to_kind(Kind::Float)).abs();
        let huber = error.huber_loss(&error.zeros_like(), tch::Reduction::None, kappa);
        (weight * huber).mean_dim([1i64, 2].as_slice(), false, Kind::Float)
    }

    #[test]
    fn the_largest_atoms_of_the_pooled_members_are_dropped() {
        // Two members with three unsorted atoms each. One per member is dropped; both are of the second member.
        let atoms = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 9.0, -4.0, 8.0]).view([2, 1, 3]);
        let mut kept: Vec<f32> = smallest(&atoms, 1).flatten(0, -1).try_into().unwrap();
        kept.sort_by(f32::total_cmp);
        assert_eq!(kept, [-4.0, 1.0, 2.0, 3.0]);
        assert_eq!(smallest(&atoms, 0).size(), [1, 6]);
    }

    #[test]
    fn losses_and_gradients_equal_those_of_autograd() {
        let mut stream = Stream::derive(1, "test", 0);
        for (scale, kappa, is_weighted) in [(1.0, 1.0, false), (30.0, 1.0, true), (0.01, 0.5, true)] {
            let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu) * scale;
            let out = normal(&[6, 5]).set_requires_grad(true);
            let target = normal(&[6, 21]);
            let weight = is_weighted.then(|| normal(&[6]).abs());
            let losses = losses_by_pairs(&out, &target, kappa);
            let loss = match &weight {
                None => losses.mean(Kind::Float),
                Some(weight) => (losses * weight).mean(Kind::Float),
            } / 3.0;
            let gradient = Tensor::run_backward(&[&loss], &[&out], false, false).remove(0);

            let (mut of_out, flat) = (vec![0.0; 30], out.detach());
            let targets = Targets {
                atoms: as_slice(&target),
                count: 21,
                weight: weight.as_ref().map(as_slice),
                kappa: kappa as f32,
            };
            let actual = member_loss(as_slice(&flat), targets, 3.0, &mut of_out);
            let expected = loss.double_value(&[]);
            assert!(
                (actual - expected).abs() < 2e-6 * expected.abs().max(1e-3),
                "{scale}: {actual}"
            );
            let error = (Tensor::from_slice(&of_out).view([6, 5]) - &gradient).abs().max();
            let largest = gradient.abs().max().double_value(&[]);
            assert!(error.double_value(&[]) < 2e-6 * largest.max(1e-3), "{scale}");
        }
    }
}
