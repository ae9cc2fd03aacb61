//! Probes (see `sac_envs::probe`) of the critics other than SAC's, and comparisons of learned distributions with closed
//! forms.

use crate::probes::{OPTIMIZER, assert_near, column, draws, fixed, mode, q, spec, trained};
use sac_agents::{
    AgentSpec, Batch, Compute, SoftActorCritic,
    critic::{
        CriticSpec, CriticStep, DsacSpec, DsacTSpec, Gaussians, LearnedCritic, NetworkContext, QuantileSpec,
        StateValueSpec,
        dsac_t::{Form, SigmaRule},
    },
    encoder::EncoderSpec,
    nn::{AdamSpec, ParamLayout},
    noise::Stream,
    schedule::GradSteps,
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

fn dsac_t() -> CriticSpec {
    CriticSpec::DsacT(DsacTSpec {
        optimizer: OPTIMIZER,
        ..DsacTSpec::default()
    })
}

fn dsac() -> CriticSpec {
    CriticSpec::Dsac(DsacSpec {
        optimizer: OPTIMIZER,
        ..DsacSpec::default()
    })
}

/// With few atoms and none dropped, so that values are expectations as for scalar critics.
fn quantile() -> CriticSpec {
    CriticSpec::Quantile(QuantileSpec {
        members: 2,
        quantiles: 5,
        dropped_per_member: 0,
        optimizer: OPTIMIZER,
        ..QuantileSpec::default()
    })
}

fn state_value() -> CriticSpec {
    CriticSpec::StateValue(StateValueSpec {
        optimizer: OPTIMIZER,
        value_optimizer: OPTIMIZER,
        ..StateValueSpec::default()
    })
}

/// Asserts that a critic passes probes 1 to 6 and 9, and learns the mean of a noisy reward (probe 7).
fn passes_the_probes(critic: &dyn Fn() -> CriticSpec) {
    let greedy = || spec(critic(), fixed(0.0));
    let constant = trained("ProbeConstant-v0", &greedy(), 500);
    assert_near("P1: Q", q(&constant, 1.0, 0.2), 1.0, 0.04);

    let two_step = trained("ProbeTwoStep-v0", &greedy(), 1000);
    assert_near("P2: Q at the second step", q(&two_step, 1.0, 0.0), 1.0, 0.04);
    assert_near("P2: Q at the start", q(&two_step, 0.0, 0.0), 0.9, 0.04);

    let sign = trained("ProbeSign-v0", &greedy(), 600);
    assert_near("P3: Q(+1)", q(&sign, 1.0, 0.0), 1.0, 0.05);
    assert_near("P3: Q(-1)", q(&sign, -1.0, 0.0), -1.0, 0.05);

    let mut target = trained("ProbeTarget-v0", &greedy(), 1000);
    assert_near("P4: mode", mode(&mut target, 1.0), 0.3, 0.06);

    let endless = trained("ProbeEndless-v0", &greedy(), 1600);
    assert_near("P5: Q, truncated", q(&endless, 1.0, 0.0), 10.0, 0.6);
    let ending = trained("ProbeEnding-v0", &greedy(), 1600);
    assert_near("P5: Q, terminated", q(&ending, 1.0, 0.0), 1.0 / (1.0 - 0.8 * 0.9), 0.45);

    let quadratic = trained("ProbeQuadratic-v0", &spec(critic(), fixed(0.2)), 2000);
    let (action, _) = draws(&quadratic, 1.0);
    assert_near("P6: std", action.std(true).double_value(&[]), 0.1, 0.02);
    assert_near("P6: mean", action.mean(Kind::Float).double_value(&[]), 0.0, 0.03);

    let noisy = trained("ProbeNoisy-v0", &greedy(), 1000);
    assert_near("P7: Q", q(&noisy, 1.0, 0.0), 1.0, 0.1);

    let mut torque = trained("ProbeTorque-v0", &greedy(), 1000);
    assert_near("P9: normalised mode", mode(&mut torque, 1.0), 0.3, 0.06);
}

#[test]
fn dsac_t_passes_the_probes() {
    passes_the_probes(&dsac_t);
}

#[test]
fn dsac_passes_the_probes() {
    passes_the_probes(&dsac);
}

#[test]
fn tqc_passes_the_probes() {
    passes_the_probes(&quantile);
}

#[test]
fn the_first_sac_passes_the_probes() {
    passes_the_probes(&state_value);
}

/// Standard deviation of the reward at every step.
const NOISE: f64 = 0.5;
const UPDATES: u64 = 2000;
const ROWS: i64 = 128;

/// A lower learning rate than in the probes, because the stationary values are compared.
const SLOW: AdamSpec = AdamSpec {
    learning_rate: 1e-3,
    ..OPTIMIZER
};

/// Trains a critic on a task with one state, rewards N(1, ½²) and α = 0; with a discount of 0 this is probe 7. Returns
/// the mean of `measure` of its outputs `[E, 1, K]` over the last fifth of the updates.
fn stationary(discount: f64, critic: CriticSpec, measure: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    tch::set_num_threads(1);
    let spec: AgentSpec = spec(CriticSpec::default(), fixed(0.0));
    let spaces = (Space::unbounded(1), Space::boxed(1, -1.0, 1.0));
    let agent = SoftActorCritic::new(&spec, "P7", (&spaces.0, &spaces.1), 1, Device::Cpu).expect("valid");
    let encoder = |observation: &Space, layout: &mut ParamLayout| EncoderSpec::default().build(observation, layout);
    let context = NetworkContext {
        encoder: &encoder,
        body: &spec.body,
        observation: &spaces.0,
        actions: agent.policy().actions(),
        targets: spec.targets,
        compute: &Compute::default(),
        rounding: None,
    };
    let equations = critic.build(spec.targets, Device::Cpu);
    let mut critic = LearnedCritic::build(equations, &context, &mut Stream::derive(1, "init.critic", 0));
    let mut stream = Stream::derive(1, "update", 0);
    let alpha = Tensor::from(0.0f32);
    let obs = Tensor::ones([ROWS, 1], (Kind::Float, Device::Cpu));
    let mut seen = Vec::new();
    for update in 1..=UPDATES {
        let action = stream.uniform(&[ROWS, 1], Device::Cpu) * 2.0 - 1.0;
        let reward = stream.normal(&[ROWS], Device::Cpu) * NOISE + 1.0;
        let discounts = reward.ones_like() * discount;
        let batch = Batch::new(obs.shallow_clone(), action, reward, discounts, obs.shallow_clone());
        let step = CriticStep {
            batch: &batch,
            policy: agent.policy(),
            alpha: &alpha,
        };
        critic.learn(&step, &mut stream);
        if spec.targets.is_due(GradSteps(update)) {
            critic.follow(spec.targets);
        }
        if update > UPDATES - UPDATES / 5 {
            seen.push(measure(&critic.q().at(&column(&[1.0]), &column(&[0.0]), &mut stream)));
        }
    }
    let mean = Tensor::stack(&seen, 0).mean_dim([0i64].as_slice(), false, Kind::Double);
    mean.flatten(0, -1).try_into().expect("numbers")
}

/// Mean and standard deviation that DSAC-T converges to, averaged over members.
fn stationary_dsac_t(discount: f64, form: Form, sigma_rule: SigmaRule) -> (f64, f64) {
    let spec = DsacTSpec {
        form,
        sigma_rule,
        optimizer: SLOW,
        ..DsacTSpec::default()
    };
    let numbers = stationary(discount, CriticSpec::DsacT(spec), |out| {
        let members = Gaussians::of(out);
        Tensor::stack(&[members.mean.mean(Kind::Float), members.std.mean(Kind::Float)], 0)
    });
    (numbers[0], numbers[1])
}

/// E[f(z)] for a standard normal z.
fn expected(f: impl Fn(f64) -> f64) -> f64 {
    const STEP: f64 = 1e-3;
    let density = |z: f64| (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (-8000..8000)
        .map(|i| (f64::from(i) + 0.5) * STEP)
        .map(|z| density(z) * f(z) * STEP)
        .sum()
}

/// The fixed point of σ² = factor · E[δ²] with δ = r + γ σ ε, |ε| ≤ 3, clipped to ±3σ. The sum is approximated as
/// normal.
fn predicted_sigma(factor: f64, discount: f64) -> f64 {
    let clamped = expected(|z| z.clamp(-3.0, 3.0).powi(2));
    let mut variance = NOISE * NOISE;
    for _ in 0..200 {
        let whole = NOISE * NOISE + discount * discount * variance * clamped;
        variance = factor * expected(|z| (whole * z * z).min(9.0 * variance));
    }
    variance.sqrt()
}

#[test]
fn p7_dsac_t_learns_mean_and_std_of_a_noisy_reward() {
    let (mean, sigma) = stationary_dsac_t(0.0, Form::Revised, SigmaRule::Nll);
    assert_near("mean", mean, 1.0, 0.02);
    assert_near("sigma", sigma, NOISE, 0.015);
    assert_near("predicted sigma", predicted_sigma(1.0, 0.0), NOISE, 0.002);
}

#[test]
fn p7_the_references_rule_learns_0_7_times_the_std() {
    let (mean, sigma) = stationary_dsac_t(0.0, Form::Revised, SigmaRule::Reference);
    let predicted = predicted_sigma(0.5, 0.0);
    assert_near("mean", mean, 1.0, 0.02);
    assert_near("sigma", sigma, predicted, 0.015);
    assert!(predicted < 0.71 * NOISE, "{predicted}");
}

#[test]
fn noise_accumulates_over_steps_with_the_nll_rule_and_hardly_with_the_references_rule() {
    // The variance of the return is NOISE² / (1 − γ²), a σ of 1.147 for γ = 0.9. If every backup halves it, it is
    // NOISE² / (2 − γ²).
    let (mean, sigma) = stationary_dsac_t(0.9, Form::Revised, SigmaRule::Nll);
    let sigma_of_return = NOISE / (1.0f64 - 0.81).sqrt();
    assert_near("mean", mean, 10.0, 0.2);
    assert_near("sigma", sigma, predicted_sigma(1.0, 0.9), 0.06);
    assert_near("sigma of the return", sigma, sigma_of_return, 0.06);
    let (_, sigma) = stationary_dsac_t(0.9, Form::Revised, SigmaRule::Reference);
    assert_near("sigma, reference", sigma, predicted_sigma(0.5, 0.9), 0.03);
}

#[test]
fn the_published_form_has_the_std_of_the_nll_rule() {
    for (discount, tolerance) in [(0.0, 0.015), (0.9, 0.06)] {
        let (mean, sigma) = stationary_dsac_t(discount, Form::Published, SigmaRule::Nll);
        assert_near("mean", mean, 1.0 / (1.0 - discount), 0.02 / (1.0 - discount));
        assert_near("sigma", sigma, predicted_sigma(1.0, discount), tolerance);
    }
}

#[test]
fn dsac_t_as_published_passes_the_probes() {
    passes_the_probes(&|| {
        CriticSpec::DsacT(DsacTSpec {
            form: Form::Published,
            optimizer: OPTIMIZER,
            ..DsacTSpec::default()
        })
    });
}

#[test]
fn p7_dsac_learns_mean_and_std_of_a_noisy_reward() {
    let spec = DsacSpec {
        optimizer: SLOW,
        ..DsacSpec::default()
    };
    let numbers = stationary(0.0, CriticSpec::Dsac(spec), |out| {
        let members = Gaussians::of(out);
        Tensor::cat(&[members.mean, members.std], 0)
    });
    assert_near("mean", numbers[0], 1.0, 0.02);
    assert_near("sigma", numbers[1], NOISE, 0.015);
}

/// The atom for a fraction τ under the quantile Huber loss: the root of E[|τ − 1{δ<0}| · clamp(δ, ±κ)].
fn predicted_atom(fraction: f64, kappa: f64) -> f64 {
    let (mut low, mut high) = (-2.0, 4.0);
    for _ in 0..40 {
        let theta = 0.5 * (low + high);
        let pull = expected(|z| {
            let delta = 1.0 + NOISE * z - theta;
            let weight = if delta < 0.0 { 1.0 - fraction } else { fraction };
            weight * delta.clamp(-kappa, kappa)
        });
        if pull > 0.0 { low = theta } else { high = theta }
    }
    0.5 * (low + high)
}

#[test]
fn p7_tqc_learns_the_quantiles_of_a_noisy_reward() {
    // Standard normal quantiles of 0.1, 0.3, 0.5, 0.7, 0.9.
    let normal = [-1.281_55, -0.524_40, 0.0, 0.524_40, 1.281_55];
    for kappa in [0.01, 1.0] {
        let spec = QuantileSpec {
            members: 2,
            quantiles: 5,
            dropped_per_member: 1,
            huber_kappa: kappa,
            optimizer: SLOW,
            ..QuantileSpec::default()
        };
        let atoms = stationary(0.0, CriticSpec::Quantile(spec), |atoms| {
            atoms.mean_dim([0i64, 1].as_slice(), false, Kind::Float)
        });
        for (index, (actual, z)) in atoms.iter().zip(normal).enumerate() {
            let predicted = predicted_atom(0.1 + 0.2 * index as f64, kappa);
            assert_near("atom", *actual, predicted, 0.03);
            // With a large κ the atoms approach expectiles, which are closer to the mean than quantiles.
            let exact = 1.0 + NOISE * z;
            let is_exact = (predicted - exact).abs() < 5e-3;
            assert!(is_exact == (kappa < 0.1 || z == 0.0), "{kappa} {predicted} {exact}");
        }
    }
}
