//! Unit tests of DSAC-T's equations.

use super::*;

fn rows(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).view([2, -1])
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten(0, -1).try_into().unwrap()
}

#[test]
fn the_first_batch_initialises_the_running_std_and_later_batches_update_it() {
    let std = rows(&[1.0, 3.0, 0.5, 1.5]);
    let first = follow_spread(None, &std, 0.25);
    assert_eq!(numbers(&first), [2.0, 1.0]);
    let second = follow_spread(Some(&first), &rows(&[6.0, 6.0, 1.0, 1.0]), 0.25);
    assert_eq!(numbers(&second), [3.0, 1.0]);
}

#[test]
fn a_sample_is_clipped_to_each_members_band() {
    let sample = Tensor::from_slice(&[10.0f32, 0.5, -10.0]);
    let mean = rows(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let banded = clip_to_band(&sample, &mean, &Tensor::from_slice(&[3.0f32, 6.0]).view([2, 1]));
    assert_eq!(numbers(&banded), [3.0, 0.5, -3.0, 7.0, 0.5, -5.0]);
}

/// The expected gradients were derived by hand: ∂L/∂q = ρ·(q − y_q), ∂L/∂σ = ρ·(σ² − h)/(σ + ε).
#[test]
fn gradients_are_weighted_by_the_clamped_ratio_of_running_to_own_variance() {
    let gradients = |rule: SigmaRule, std: f32, running_std: f32| {
        let spec = DsacTSpec {
            sigma_rule: rule,
            ..DsacTSpec::default()
        };
        let leaf = |value: f32| Tensor::from_slice(&[value]).view([1, 1]).set_requires_grad(true);
        let now = Gaussians {
            mean: leaf(1.0),
            std: leaf(std),
        };
        let (target_mean, banded) = (
            Tensor::from_slice(&[3.0f32]),
            Tensor::from_slice(&[2.0f32]).view([1, 1]),
        );
        let running_std = Tensor::from_slice(&[running_std]).view([1, 1]);
        let loss = member_losses(&spec, &now, &target_mean, &banded, &running_std).sum(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &[&now.mean, &now.std], false, false);
        [gradients[0].double_value(&[0, 0]), gradients[1].double_value(&[0, 0])]
    };
    let close = |actual: [f64; 2], expected: [f64; 2]| {
        let is_close = actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(is_close, "{actual:?} {expected:?}");
    };
    let rho = 4.0 / 1.1; // running σ 2, σ of the row 1
    close(
        gradients(SigmaRule::Nll, 1.0, 2.0),
        [rho * -2.0, rho * (1.0 - 1.0) / 1.1],
    );
    close(
        gradients(SigmaRule::Reference, 1.0, 2.0),
        [rho * -2.0, rho * (1.0 - 0.5) / 1.1],
    );
    close(
        gradients(SigmaRule::Nll, 2.0, 0.1),
        [0.1 * -2.0, 0.1 * (4.0 - 1.0) / 2.1],
    );
    close(
        gradients(SigmaRule::Nll, 0.5, 9.0),
        [10.0 * -2.0, 10.0 * (0.25 - 1.0) / 0.6],
    );
}

#[test]
fn the_loss_of_the_mean_is_quadratic_unless_huber_delta_is_finite() {
    let gradient = |huber_delta: f64| {
        let spec = DsacTSpec {
            huber_delta,
            ..DsacTSpec::default()
        };
        let mean = Tensor::from_slice(&[0.0f32]).view([1, 1]).set_requires_grad(true);
        let one = Tensor::ones([1, 1], (Kind::Float, tch::Device::Cpu));
        let now = Gaussians {
            mean: mean.shallow_clone(),
            std: one.shallow_clone(),
        };
        let target = Tensor::from_slice(&[1e5f32]);
        let loss = member_losses(&spec, &now, &target, &one, &one).sum(Kind::Float);
        Tensor::run_backward(&[loss], &[&mean], false, false)[0].double_value(&[0, 0])
    };
    let weight = 1.0 / 1.1;
    assert!((gradient(f64::INFINITY) / (-1e5 * weight) - 1.0).abs() < 1e-6);
    assert!((gradient(DsacTSpec::default().huber_delta) / (-1e5 * weight) - 1.0).abs() < 1e-6);
    assert!((gradient(50.0) / (-50.0 * weight) - 1.0).abs() < 1e-6);
}

#[test]
fn the_running_std_follows_at_the_rate_of_targets_by_default() {
    let soft = TargetSpec::Polyak { tau: 0.01 };
    let hard = TargetSpec::Hard { every_grad_steps: 200 };
    assert_eq!(RunningStdRate::Targets.resolve(soft), 0.01);
    assert_eq!(RunningStdRate::Targets.resolve(hard), 0.005);
    assert_eq!(RunningStdRate::PerGradStep(0.5).resolve(soft), 0.5);
}
