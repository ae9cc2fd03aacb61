//! One step of DSAC-T's critic without autograd: the losses of [`super::member_losses`] and their gradient.
//!
//! ```text
//! ∂L/∂q = ρ·H'(q − y_q)      ∂L/∂σ = ρ·(σ² − h) / (σ + ε)      σ = softplus(x):  ∂σ/∂x = sigmoid(x)
//! ```

use tch::{Device, Kind, Tensor};

use super::{DsacTSpec, SigmaRule, Step};
use crate::{
    batch::Batch,
    nn::{
        elementary::{sigmoid, softplus},
        numbers::{numbers, numbers_mut},
    },
};

/// Huber's function of an error, and its derivative.
fn huber(error: f32, delta: f32) -> (f32, f32) {
    match error.abs() > delta {
        true => (delta * (error.abs() - 0.5 * delta), delta.copysign(error)),
        false => (0.5 * error * error, error),
    }
}

/// A step and the gradient of its loss by the members' numbers, `[E, B, 2]`: from those numbers `out` `[E, B, 2]`, `target_mean`
/// and `target_sample` `[B]`, and the running standard deviation `[E, R]` before this batch.
pub(super) fn step(
    spec: &DsacTSpec,
    out: &Tensor,
    (target_mean, target_sample): (&Tensor, &Tensor),
    running_std: (Option<&Tensor>, f64),
    batch: &Batch,
) -> (Step, Vec<f32>) {
    let members = out.size()[0];
    let empty = |shape: &[i64]| Tensor::empty(shape, (Kind::Float, Device::Cpu));
    let (all_rows, rows) = (target_mean.size()[0], batch.rows_each());
    let replicates = batch.replicates as usize;
    let weight = batch.value_draw_weights();
    let weight = weight.as_ref().map(numbers);
    let [target_mean, target_sample] = [target_mean, target_sample].map(Tensor::contiguous);
    let [target_mean, target_sample] = [&target_mean, &target_sample].map(numbers);
    let (before, rate) = running_std;
    let before = before.map(Tensor::contiguous);
    let before = before.as_ref().map(numbers);

    let [mut mean, mut std] = [(); 2].map(|()| empty(&[members, all_rows]));
    let out = numbers(out);
    let mut of_out = vec![0.0; out.len()];
    let mut running_std = empty(&[members, batch.replicates]);
    let (delta, share) = (spec.huber_delta as f32, 1.0 / rows as f32);
    let (mut losses, mut clipped) = (vec![0.0f64; replicates], vec![0usize; replicates]);
    for unit in 0..members as usize * replicates {
        let own = unit * rows..(unit + 1) * rows;
        let replicate = unit % replicates;
        let first = replicate * rows; // of its rows in a batch
        let out = &out[2 * own.start..2 * own.end];
        let (mean, std) = (
            &mut numbers_mut(&mut mean)[own.clone()],
            &mut numbers_mut(&mut std)[own.clone()],
        );
        for ((mean, std), out) in mean.iter_mut().zip(std.iter_mut()).zip(out.chunks_exact(2)) {
            (*mean, *std) = (out[0], softplus(out[1]));
        }
        let batch_std = std.iter().sum::<f32>() * share;
        let running = before.map_or(batch_std, |before| {
            before[unit] + rate as f32 * (batch_std - before[unit])
        });
        numbers_mut(&mut running_std)[unit] = running;
        let width = running * spec.clip_sigmas as f32;
        let of_out = &mut of_out[2 * own.start..2 * own.end];
        for row in 0..rows {
            let (q, std) = (mean[row], std[row]);
            let variance = std * std;
            let distance = target_sample[first + row] - q;
            clipped[replicate] += usize::from(distance.abs() > width);
            let banded = distance.min(width).max(-width);
            let grad_weight = (running * running / (variance + spec.variance_bias as f32))
                .max(spec.grad_weight_min as f32)
                .min(spec.grad_weight_max as f32);
            let spread = match spec.sigma_rule {
                SigmaRule::Nll => banded * banded,
                SigmaRule::Reference => huber(banded, delta).0,
            };
            let pull = (variance - spread) / (std + spec.std_bias as f32);
            let (of_error, slope) = huber(q - target_mean[first + row], delta);
            let weight = grad_weight * weight.map_or(1.0, |weight| weight[first + row]) * share;
            losses[replicate] += f64::from(weight * (of_error + std * pull));
            of_out[2 * row] = weight * slope;
            of_out[2 * row + 1] = weight * pull * sigmoid(out[2 * row + 1]);
        }
    }
    let losses: Vec<f32> = losses.iter().map(|loss| *loss as f32).collect();
    let of_member = |count: &usize| *count as f32 / (members as usize * rows) as f32;
    let clipped: Vec<f32> = clipped.iter().map(of_member).collect();
    let step = Step {
        loss: losses.into(),
        mean,
        std,
        running_std,
        clipped: clipped.into(),
    };
    (step, of_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::{Found, Reduction},
        critic::{
            Gaussians,
            dsac_t::{clip_to_band, follow_spread, member_losses},
        },
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

                let (found, of_out) = step(
                    &spec,
                    &out.detach(),
                    (&target_mean, &target_sample),
                    (before.as_ref(), 0.1),
                    &batch,
                );
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
