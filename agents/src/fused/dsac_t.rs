//! The loss of DSAC-T's critic ([`crate::critic::dsac_t::member_losses`]) and its gradient over slices, member by
//! member.
//!
//! ```text
//! published   ∂L/∂q = −(m² + ε_ω)·δ_q / (σ² + ε_ω)      ∂L/∂σ = (m² + ε_ω)·(σ² − δ_b²) / (σ³ + ε)
//! revised     ∂L/∂q = ρ·H'(q − y_q)                     ∂L/∂σ = ρ·(σ² − h) / (σ + ε)
//! both        σ = softplus(x):  ∂σ/∂x = sigmoid(x)
//! ```

use sac_kernels::elementary::{sigmoid, softplus};
use tch::Tensor;

use super::{
    layers::Layers,
    scalar::{Rows, descend},
};
use crate::{
    critic::{
        LearnedCritic,
        dsac_t::{DsacTSpec, Form, Observed, RUNNING_STD, SigmaRule},
    },
    noise::Stream,
    report::UpdateReport,
    slices::as_slice,
};

/// Makes one step of the critic towards `targets`, the target mean and the target sample, `[M·B]` each.
pub(super) fn learn(
    (spec, running_std_rate): (&DsacTSpec, f64),
    layers: &Layers,
    critic: &mut LearnedCritic,
    rows: Rows,
    targets: &[Tensor],
    stream: &mut Stream,
) -> UpdateReport {
    let batch = rows.batch;
    let (mean, sample) = (targets[0].contiguous(), targets[1].contiguous());
    let weight = batch.value_draw_weights();
    let running_std = critic.statistics.get(RUNNING_STD).map(Tensor::contiguous); // [E, 1]
    let running_std = running_std.as_ref().map(as_slice);
    let targets = Targets {
        mean: as_slice(&mean),
        sample: as_slice(&sample),
        weight: weight.as_ref().map(as_slice),
    };
    let loss = |member: usize, out: &[f32], of_out: &mut [f32]| {
        let before = running_std.map(|running_std| running_std[member]);
        member_loss(spec, out, targets, (before, running_std_rate), of_out)
    };
    let (_, members) = descend(layers, &mut critic.functions[0], rows, stream, loss);
    observed(&members).report(&mean, &mut critic.statistics, batch)
}

/// The Huber function of an error, and its derivative.
fn huber(error: f32, delta: f32) -> (f32, f32) {
    match error.abs() > delta {
        true => (delta * (error.abs() - 0.5 * delta), delta.copysign(error)),
        false => (0.5 * error * error, error),
    }
}

/// The targets of a member and the weights of the rows, `[B]` each.
#[derive(Clone, Copy)]
struct Targets<'a> {
    mean: &'a [f32],
    sample: &'a [f32],
    /// Weights of the rows; `None` if all are 1.
    weight: Option<&'a [f32]>,
}

/// Outputs, statistics and loss of one member.
struct OfMember {
    /// `[B]` each.
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Updated with this batch.
    running_std: f32,
    loss: f64,
    /// Number of sampled targets that were clipped.
    clipped: usize,
}

/// The loss of a member, from its outputs `out` `[B, 2]`, its running standard deviation before this batch (`before`)
/// and the rate of the latter. Writes the gradient with respect to `out` to `of_out` `[B, 2]`.
fn member_loss(
    spec: &DsacTSpec,
    out: &[f32],
    targets: Targets,
    (before, rate): (Option<f32>, f64),
    of_out: &mut [f32],
) -> OfMember {
    let rows = targets.mean.len();
    let row_share = 1.0 / rows as f32;
    let mean: Vec<f32> = out.chunks_exact(2).map(|out| out[0]).collect();
    let std: Vec<f32> = out.chunks_exact(2).map(|out| softplus(out[1])).collect();
    let batch_std = std.iter().sum::<f32>() * row_share;
    let running = before.map_or(batch_std, |before| before + rate as f32 * (batch_std - before));
    let width = running * spec.clip_sigmas as f32;
    let (mut loss, mut clipped) = (0.0f64, 0);
    for (row, of_out) in of_out.chunks_exact_mut(2).enumerate() {
        let (q, std) = (mean[row], std[row]);
        let distance = targets.sample[row] - q;
        clipped += usize::from(distance.abs() > width);
        let row_of = Row {
            q,
            std,
            target_mean: targets.mean[row],
            banded: distance.min(width).max(-width),
            running,
        };
        let OfRow {
            scale,
            loss: of_row,
            of_q,
            of_std,
        } = match spec.form {
            Form::Published => published(spec, row_of),
            Form::Revised => revised(spec, row_of),
        };
        let weight = scale * targets.weight.map_or(1.0, |weight| weight[row]) * row_share;
        loss += f64::from(weight * of_row);
        of_out[0] = weight * of_q;
        of_out[1] = weight * of_std * sigmoid(out[2 * row + 1]);
    }
    OfMember {
        mean,
        std,
        running_std: running,
        loss,
        clipped,
    }
}

/// A member's outputs at one row, and what they are compared with.
struct Row {
    q: f32,
    std: f32,
    /// y_q.
    target_mean: f32,
    /// δ_b, the clipped sample minus `q`.
    banded: f32,
    /// m.
    running: f32,
}

/// The loss of a row and its gradients, before `scale`.
struct OfRow {
    scale: f32,
    loss: f32,
    of_q: f32,
    of_std: f32,
}

/// A row of [`crate::critic::dsac_t::published_losses`].
fn published(spec: &DsacTSpec, row: Row) -> OfRow {
    let (variance_bias, variance) = (spec.variance_bias as f32, row.std * row.std);
    let mean_pull = (row.target_mean - row.q) / (variance + variance_bias);
    let std_pull = (row.banded * row.banded - variance) / (variance * row.std + spec.std_bias as f32);
    OfRow {
        scale: row.running * row.running + variance_bias,
        loss: -(mean_pull * row.q + std_pull * row.std),
        of_q: -mean_pull,
        of_std: -std_pull,
    }
}

/// A row of [`crate::critic::dsac_t::revised_losses`].
fn revised(spec: &DsacTSpec, row: Row) -> OfRow {
    let (delta, variance) = (spec.huber_delta as f32, row.std * row.std);
    let scale = (row.running * row.running / (variance + spec.variance_bias as f32))
        .max(spec.grad_weight_min as f32)
        .min(spec.grad_weight_max as f32);
    let spread = match spec.sigma_rule {
        SigmaRule::Nll => row.banded * row.banded,
        SigmaRule::Reference => huber(row.banded, delta).0,
    };
    let pull = (variance - spread) / (row.std + spec.std_bias as f32);
    let (of_error, derivative) = huber(row.q - row.target_mean, delta);
    OfRow {
        scale,
        loss: of_error + row.std * pull,
        of_q: derivative,
        of_std: pull,
    }
}

/// Combines the results of all members.
fn observed(members: &[OfMember]) -> Observed {
    let (count, rows) = (members.len(), members[0].mean.len());
    let tensor = |values: Vec<f32>| Tensor::from_slice(&values).view([count as i64, -1]);
    let joint =
        |of: fn(&OfMember) -> &Vec<f32>| tensor(members.iter().flat_map(|member| of(member).iter().copied()).collect());
    let clipped: usize = members.iter().map(|member| member.clipped).sum();
    Observed {
        loss: (members.iter().map(|member| member.loss).sum::<f64>() as f32).into(),
        mean: joint(|member| &member.mean),
        std: joint(|member| &member.std),
        running_std: tensor(members.iter().map(|member| member.running_std).collect()),
        clipped: (clipped as f32 / (count * rows) as f32).into(),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{
        batch::Batch,
        critic::{
            Gaussians,
            dsac_t::{clip_to_band, follow_spread, member_losses},
        },
        report::{MetricValue, Reduction},
    };

    #[test]
    fn losses_and_gradients_equal_those_of_autograd() {
        let mut stream = Stream::derive(1, "test", 0);
        let mut normal = |shape: &[i64], scale: f64| stream.normal(shape, Device::Cpu) * scale;
        for (form, sigma_rule, huber_delta) in [
            (Form::Published, SigmaRule::Nll, f64::INFINITY),
            (Form::Revised, SigmaRule::Nll, f64::INFINITY),
            (Form::Revised, SigmaRule::Nll, 1.5),
            (Form::Revised, SigmaRule::Reference, 1.5),
        ] {
            let spec = DsacTSpec {
                form,
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

                let now = Gaussians::of(&out);
                let (mean, std) = (now.mean.detach(), now.std.detach());
                let running_std = follow_spread(before.as_ref(), &std, 0.1);
                let width = &running_std * spec.clip_sigmas;
                let banded = clip_to_band(&target_sample, &mean, &width);
                let losses = member_losses(&spec, &now, &target_mean, &banded, &running_std);
                let loss = batch.mean(&losses) * 2.0;
                let gradient = Tensor::run_backward(&[&loss], &[&out], false, false).remove(0);
                let clipped = (&target_sample - &mean).abs().gt_tensor(&width).to_kind(Kind::Float);

                let (mut of_out, flat) = (vec![0.0; 4 * b as usize], out.detach());
                let targets = Targets {
                    mean: as_slice(&target_mean),
                    sample: as_slice(&target_sample),
                    weight: batch.weight.as_ref().map(as_slice),
                };
                let by_member = as_slice(&flat)
                    .chunks_exact(2 * b as usize)
                    .zip(of_out.chunks_exact_mut(2 * b as usize))
                    .enumerate();
                let members = by_member.map(|(member, (out, of_out))| {
                    let before = before.as_ref().map(|before| as_slice(before)[member]);
                    member_loss(&spec, out, targets, (before, 0.1), of_out)
                });
                let actual = observed(&members.collect::<Vec<_>>());
                let of_out = Tensor::from_slice(&of_out).view_as(&gradient);
                let number = |value: &MetricValue| Tensor::from(value.read(Reduction::Mean));
                let pairs = [
                    ("loss", &number(&actual.loss), &loss),
                    ("gradient", &of_out, &gradient),
                    ("mean", &actual.mean, &mean),
                    ("std", &actual.std, &std),
                    ("running_std", &actual.running_std, &running_std),
                    ("clipped", &number(&actual.clipped), &clipped.mean(Kind::Float)),
                ];
                for (what, actual, expected) in pairs {
                    let error = ((actual - expected).abs() / (expected.abs() + 1.0))
                        .max()
                        .double_value(&[]);
                    assert!(error < 2e-6, "{what}, {form:?}, {sigma_rule:?}, {huber_delta}: {error}");
                }
                assert!(
                    clipped.mean(Kind::Float).double_value(&[]) > 0.1,
                    "some targets are clipped"
                );
            }
        }
    }
}
