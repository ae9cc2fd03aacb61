//! The loss of categorical critics, the cross-entropy −Σ_k t_k log p_k per member, and its gradient over slices.
//!
//! ```text
//! p = softmax(x),   ∂L/∂x_k = p_k Σ_j t_j − t_k
//! ```

use sac_kernels::{elementary::exp, widest};
use tch::Tensor;

use super::{
    layers::Layers,
    scalar::{Rows, descend},
};
use crate::{
    critic::{LearnedCritic, Support, categorical},
    noise::Stream,
    report::UpdateReport,
    slices::as_slice,
};

/// Makes one step of the critic towards `targets`, as [`categorical::CategoricalCritic`] gives them.
pub(super) fn learn(
    support: Support,
    layers: &Layers,
    critic: &mut LearnedCritic,
    rows: Rows,
    targets: &[Tensor],
    stream: &mut Stream,
) -> UpdateReport {
    let (weight, target) = (
        rows.batch.value_draw_weights(),
        targets[0].transpose(0, 1).contiguous(), // [B, K]
    );
    let (weight, target) = (weight.as_ref().map(as_slice), as_slice(&target));
    let values: Vec<f32> = support.iter().collect();
    let loss = |_: usize, out: &[f32], of_out: &mut [f32]| member_loss(&values, out, (target, weight), of_out);
    let (_, members) = descend(layers, &mut critic.functions[0], rows, stream, loss);
    let joint = |of: fn(&OfMember) -> &Vec<f32>| {
        let joint: Vec<f32> = members.iter().flat_map(of).copied().collect();
        Tensor::from_slice(&joint).view([members.len() as i64, -1]) // [E, B]
    };
    let loss = members.iter().map(|member| member.loss).sum::<f64>() as f32;
    let (q, std) = (joint(|member| &member.q), joint(|member| &member.std));
    categorical::report(loss.into(), (&q, &std), targets, rows.batch)
}

/// Loss, values and standard deviations `[B]` of one member.
struct OfMember {
    loss: f64,
    q: Vec<f32>,
    std: Vec<f32>,
}

/// The loss of a member with the logits `out` `[B, K]` of the returns `values` `[K]`. Writes the gradient with respect to
/// `out` to `of_out`.
fn member_loss(
    values: &[f32],
    out: &[f32],
    (target, weight): (&[f32], Option<&[f32]>),
    of_out: &mut [f32],
) -> OfMember {
    let atoms = values.len();
    let count = out.len() / atoms;
    let mut of_member = OfMember {
        loss: 0.0,
        q: Vec::with_capacity(count),
        std: Vec::with_capacity(count),
    };
    let rows = out
        .chunks_exact(atoms)
        .zip(target.chunks_exact(atoms))
        .zip(of_out.chunks_exact_mut(atoms));
    for (row, ((out, target), of_out)) in rows.enumerate() {
        let share = weight.map_or(1.0, |weight| weight[row]) / count as f32;
        let OfRow { loss, q, variance } = widest(
            #[inline(always)]
            || row_loss(values, out, target, share, of_out),
        );
        of_member.loss += f64::from(loss * share);
        of_member.q.push(q);
        of_member.std.push(variance.sqrt());
    }
    of_member
}

/// Loss, value and variance of a member at one row.
struct OfRow {
    loss: f32,
    q: f32,
    variance: f32,
}

#[inline(always)]
fn row_loss(values: &[f32], out: &[f32], target: &[f32], share: f32, of_out: &mut [f32]) -> OfRow {
    // NaN is larger than anything, so that it shows.
    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    let largest = out.iter().copied().fold(f32::NEG_INFINITY, larger);
    for (of_out, x) in of_out.iter_mut().zip(out) {
        *of_out = exp(x - largest);
    }
    let (total, sum) = weighted(of_out, values, |z| z);
    let q = sum / total;
    let (_, squares) = weighted(of_out, values, |z| (z - q) * (z - q));
    let log_total = largest + total.ln();
    let (target_total, entropy) = weighted(target, out, |x| log_total - x);
    let (p_factor, t_factor) = (target_total * share / total, share);
    for (of_out, target) in of_out.iter_mut().zip(target) {
        *of_out = *of_out * p_factor - target * t_factor;
    }
    OfRow {
        loss: entropy,
        q,
        variance: squares / total,
    }
}

/// Σ w and Σ w·of(x).
#[inline(always)]
fn weighted(weights: &[f32], x: &[f32], of: impl Fn(f32) -> f32) -> (f32, f32) {
    let (mut total, mut sum) = (0.0, 0.0);
    for (weight, x) in weights.iter().zip(x) {
        total += weight;
        sum += weight * of(*x);
    }
    (total, sum)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn losses_and_gradients_equal_those_of_autograd() {
        let support = Support {
            min: -2.0,
            max: 3.0,
            atoms: 37,
        };
        let mut stream = Stream::derive(1, "test", 0);
        for is_weighted in [false, true] {
            let out = (stream.normal(&[9, 37], Device::Cpu) * 3.0).set_requires_grad(true);
            let target = stream.normal(&[9, 37], Device::Cpu).softmax(-1, Kind::Float);
            let weight = is_weighted.then(|| stream.normal(&[9], Device::Cpu).abs());
            let log_probability = out.log_softmax(-1, Kind::Float);
            let losses = -(&target * &log_probability).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
            let loss = match &weight {
                None => losses.mean(Kind::Float),
                Some(weight) => (losses * weight).mean(Kind::Float),
            };
            let gradient = Tensor::run_backward(&[&loss], &[&out], false, false).remove(0);
            let q = support.expectation(&log_probability.detach().exp());

            let (values, flat) = (support.iter().collect::<Vec<f32>>(), out.detach());
            let mut of_out = vec![0.0; 9 * 37];
            let weight = weight.as_ref().map(as_slice);
            let actual = member_loss(&values, as_slice(&flat), (as_slice(&target), weight), &mut of_out);
            assert!((actual.loss - loss.double_value(&[])).abs() < 2e-6, "{}", actual.loss);
            let error = |actual: &[f32], expected: &Tensor| {
                let actual = Tensor::from_slice(actual).view_as(expected);
                (actual - expected).abs().max().double_value(&[])
            };
            assert!(error(&of_out, &gradient) < 1e-6);
            assert!(error(&actual.q, &q) < 2e-6);
        }
    }

    #[test]
    fn nan_logits_give_nan_losses_and_gradients() {
        let (out, mut of_out) = ([0.0, f32::NAN, 1.0], [0.0; 3]);
        let actual = member_loss(&[-1.0, 0.0, 1.0], &out, (&[0.2, 0.3, 0.5], None), &mut of_out);
        assert!(actual.loss.is_nan() && of_out.iter().all(|of_out| of_out.is_nan()));
    }
}
