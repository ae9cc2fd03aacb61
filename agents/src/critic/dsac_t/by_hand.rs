//! One step of DSAC-T's critic without autograd: the losses of [`super::member_losses`] and their gradient.
//!
//! ```text
//! ∂L/∂q = ρ·H'(q − y_q)      ∂L/∂σ = ρ·(σ² − h) / (σ + ε)      σ = softplus(x):  ∂σ/∂x = sigmoid(x)
//! ```

use tch::Tensor;

use super::{DsacTSpec, SigmaRule, Step};
use crate::nn::elementary::{sigmoid, softplus};

/// Huber's function of an error, and its derivative.
fn huber(error: f32, delta: f32) -> (f32, f32) {
    match error.abs() > delta {
        true => (delta * (error.abs() - 0.5 * delta), delta.copysign(error)),
        false => (0.5 * error * error, error),
    }
}

/// What a unit's numbers are compared with: `[B]` each.
#[derive(Clone, Copy)]
pub(super) struct Targets<'a> {
    pub(super) mean: &'a [f32],
    pub(super) sample: &'a [f32],
    /// How much each row counts, if not all alike.
    pub(super) weight: Option<&'a [f32]>,
}

/// What a unit's step is made of.
pub(super) struct OfUnit {
    /// `[B]` each.
    mean: Vec<f32>,
    std: Vec<f32>,
    /// This batch included.
    running_std: f32,
    loss: f64,
    /// How many sampled targets were clipped.
    clipped: usize,
}

/// A unit's step, from its numbers `out` `[B, 2]` and its running standard deviation before this batch, which moves at
/// `rate`; and the gradient of its loss, `of_out` `[B, 2]`.
pub(super) fn of_unit(
    spec: &DsacTSpec,
    out: &[f32],
    targets: Targets,
    (before, rate): (Option<f32>, f64),
    of_out: &mut [f32],
) -> OfUnit {
    let rows = targets.mean.len();
    let (delta, share) = (spec.huber_delta as f32, 1.0 / rows as f32);
    let mean: Vec<f32> = out.chunks_exact(2).map(|out| out[0]).collect();
    let std: Vec<f32> = out.chunks_exact(2).map(|out| softplus(out[1])).collect();
    let batch_std = std.iter().sum::<f32>() * share;
    let running = before.map_or(batch_std, |before| before + rate as f32 * (batch_std - before));
    let width = running * spec.clip_sigmas as f32;
    let (mut loss, mut clipped) = (0.0f64, 0);
    for (row, of_out) in of_out.chunks_exact_mut(2).enumerate() {
        let (q, std) = (mean[row], std[row]);
        let variance = std * std;
        let distance = targets.sample[row] - q;
        clipped += usize::from(distance.abs() > width);
        let banded = distance.min(width).max(-width);
        let grad_weight = (running * running / (variance + spec.variance_bias as f32))
            .max(spec.grad_weight_min as f32)
            .min(spec.grad_weight_max as f32);
        let spread = match spec.sigma_rule {
            SigmaRule::Nll => banded * banded,
            SigmaRule::Reference => huber(banded, delta).0,
        };
        let pull = (variance - spread) / (std + spec.std_bias as f32);
        let (of_error, slope) = huber(q - targets.mean[row], delta);
        let weight = grad_weight * targets.weight.map_or(1.0, |weight| weight[row]) * share;
        loss += f64::from(weight * (of_error + std * pull));
        of_out[0] = weight * slope;
        of_out[1] = weight * pull * sigmoid(out[2 * row + 1]);
    }
    OfUnit {
        mean,
        std,
        running_std: running,
        loss,
        clipped,
    }
}

/// The step of all units, e·R + r.
pub(super) fn of_all(units: &[OfUnit], replicates: usize) -> Step {
    let rows = units[0].mean.len();
    let members = units.len() / replicates;
    let tensor = |numbers: Vec<f32>| Tensor::from_slice(&numbers).view([members as i64, -1]);
    let joint = |of: fn(&OfUnit) -> &Vec<f32>| tensor(units.iter().flat_map(|unit| of(unit).iter().copied()).collect());
    let of_replicate = |replicate: usize| units.iter().skip(replicate).step_by(replicates);
    let losses = (0..replicates).map(|replicate| of_replicate(replicate).map(|unit| unit.loss).sum::<f64>() as f32);
    let clipped = (0..replicates).map(|replicate| {
        let count: usize = of_replicate(replicate).map(|unit| unit.clipped).sum();
        count as f32 / (members * rows) as f32
    });
    Step {
        loss: losses.collect::<Vec<_>>().into(),
        mean: joint(|unit| &unit.mean),
        std: joint(|unit| &unit.std),
        running_std: tensor(units.iter().map(|unit| unit.running_std).collect()),
        clipped: clipped.collect::<Vec<_>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{
        agent::{Found, Reduction},
        batch::Batch,
        critic::{
            Gaussians,
            dsac_t::{clip_to_band, follow_spread, member_losses},
        },
        nn::numbers::numbers,
        noise::Stream,
    };

    #[test]
    fn losses_and_gradients_are_those_of_autograd() {
        let mut stream = Stream::derive(1, "test", 0);
        let mut normal = |shape: &[i64], scale: f64| stream.normal(shape, Device::Cpu) * scale;
        for (sigma_rule, huber_delta) in [
            (SigmaRule::Nll, f64::INFINITY),
            (SigmaRule::Nll, 1.5),
            (SigmaRule::Reference, 1.5),
        ] {
            let spec = DsacTSpec {
                sigma_rule,
                huber_delta,
                ..DsacTSpec::default()
            };
            for before in [None, Some(Tensor::from_slice(&[0.4f32, 1.3]).view([2, 1]))] {
                let b = 33;
                let batch = Batch {
                    weight: before.as_ref().map(|_| normal(&[b], 1.0).abs()),
                    ..Batch::new(
                        normal(&[b, 3], 1.0),
                        normal(&[b, 1], 1.0),
                        normal(&[b], 1.0),
                        normal(&[b], 1.0),
                        normal(&[b, 3], 1.0),
                    )
                };
                let out = normal(&[2, b, 2], 2.0).set_requires_grad(true);
                let (target_mean, target_sample) = (normal(&[b], 3.0), normal(&[b], 3.0));

                let now = Gaussians {
                    mean: out.select(-1, 0),
                    std: out.select(-1, 1).softplus(),
                };
                let (mean, std) = (now.mean.detach(), now.std.detach());
                let running_std = follow_spread(before.as_ref(), &std, 0.1, 1);
                let width = &running_std * spec.clip_sigmas;
                let banded = clip_to_band(&target_sample, &mean, &width);
                let losses = member_losses(&spec, &now, &target_mean, &banded, &running_std);
                let loss = batch.mean(&losses) * 2.0;
                let gradient = Tensor::run_backward(&[&loss], &[&out], false, false).remove(0);
                let clipped = (&target_sample - &mean).abs().gt_tensor(&width).to_kind(Kind::Float);

                let (mut of_out, flat) = (vec![0.0; 4 * b as usize], out.detach());
                let targets = Targets {
                    mean: numbers(&target_mean),
                    sample: numbers(&target_sample),
                    weight: batch.weight.as_ref().map(numbers),
                };
                let of_members = numbers(&flat)
                    .chunks_exact(2 * b as usize)
                    .zip(of_out.chunks_exact_mut(2 * b as usize))
                    .enumerate();
                let units = of_members.map(|(member, (out, of_out))| {
                    let before = before.as_ref().map(|before| numbers(before)[member]);
                    of_unit(&spec, out, targets, (before, 0.1), of_out)
                });
                let found = of_all(&units.collect::<Vec<_>>(), 1);
                let of_out = Tensor::from_slice(&of_out).view_as(&gradient);
                let number = |found: &Found| Tensor::from(found.read(Reduction::Mean, None));
                let pairs = [
                    ("loss", &number(&found.loss), &loss),
                    ("gradient", &of_out, &gradient),
                    ("mean", &found.mean, &mean),
                    ("std", &found.std, &std),
                    ("running_std", &found.running_std, &running_std),
                    ("clipped", &number(&found.clipped), &clipped.mean(Kind::Float)),
                ];
                for (what, found, expected) in pairs {
                    let apart = ((found - expected).abs() / (expected.abs() + 1.0))
                        .max()
                        .double_value(&[]);
                    assert!(apart < 2e-6, "{what}, {sigma_rule:?}, {huber_delta}: {apart}");
                }
                assert!(clipped.mean(Kind::Float).double_value(&[]) > 0.1, "some are clipped");
            }
        }
    }
}
