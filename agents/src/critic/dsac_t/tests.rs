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

/// The expected gradients were derived by hand: ∂L/∂q = −(m² + ε_ω)·δ_q/(σ² + ε_ω), ∂L/∂σ = (m² + ε_ω)·(σ² − δ_b²)/(σ³ +
/// ε).
#[test]
fn gradients_of_the_published_form_are_those_of_the_likelihood_times_the_running_variance() {
    let spec = DsacTSpec {
        form: Form::Published,
        variance_bias: 0.1,
        std_bias: 0.3,
        ..DsacTSpec::default()
    };
    for (std, running_std) in [(1.0f32, 2.0f32), (2.0, 0.1), (0.05, 9.0)] {
        let leaf = |value: f32| Tensor::from_slice(&[value]).view([1, 1]).set_requires_grad(true);
        let now = Gaussians {
            mean: leaf(1.0),
            std: leaf(std),
        };
        let (target_mean, banded) = (
            Tensor::from_slice(&[4.0f32]),
            Tensor::from_slice(&[2.5f32]).view([1, 1]),
        );
        let running = Tensor::from_slice(&[running_std]).view([1, 1]);
        let loss = member_losses(&spec, &now, &target_mean, &banded, &running).sum(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &[&now.mean, &now.std], false, false);
        let (std, m) = (f64::from(std), f64::from(running_std));
        let scale = m * m + 0.1;
        let expected = [
            -scale * 3.0 / (std * std + 0.1),
            scale * (std * std - 2.25) / (std.powi(3) + 0.3),
        ];
        for (gradient, expected) in gradients.iter().zip(expected) {
            let actual = gradient.double_value(&[0, 0]);
            assert!((actual / expected - 1.0).abs() < 1e-5, "{std}: {actual}, {expected}");
        }
    }
}

#[test]
fn the_published_form_refuses_the_settings_of_the_revised_one() {
    let problems = |critic: &str| {
        let spec: DsacTSpec = toml::from_str(critic).unwrap();
        let mut problems = SpecProblems::default();
        spec.check(&mut problems);
        problems
            .into_vec()
            .into_iter()
            .map(|problem| problem.key)
            .collect::<Vec<_>>()
    };
    let of_revised = "sigma_rule = 'reference'\nhuber_delta = 50.0\ngrad_weight_max = 20.0";
    assert_eq!(problems("form = 'published'"), [""; 0]);
    assert_eq!(problems(of_revised), [""; 0]);
    assert_eq!(
        problems(&format!("form = 'published'\n{of_revised}")),
        [
            "agent.critic.sigma_rule",
            "agent.critic.huber_delta",
            "agent.critic.grad_weight_min"
        ]
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
