//! Policy heads other than the default against golden data: the head alone, and one full update. See
//! `golden/README.md`.

use crate::full_update::{Case, update_equals};
use crate::support::{read, relative_difference, tensor};
use sac_agents::{
    AgentSpec,
    exploration::{ExplorationSpec, GsdeSpec},
    nn::{ParamBlock, ParamLayout, Params},
    noise::Stream,
    policy::{
        FourierHead, FourierSpec, LogStdBounds, PolicyHead, PolicySpec, SquashedGaussian, SquashedGaussianSpec,
        StateDependentNoise, StdSource,
    },
};
use serde::Deserialize;
use tch::{Kind, Tensor};

/// Tolerance for single precision in a few layers of width 5.
const TOLERANCE: f64 = 1e-5;

fn one_update_equals(policy: PolicySpec, case: &Case) {
    let spec = AgentSpec {
        policy,
        ..AgentSpec::default()
    };
    one_update_of_agent_equals(spec, case);
}

fn one_update_of_agent_equals(spec: AgentSpec, case: &Case) {
    let sections = update_equals(spec, case);
    assert!(case.moments.contains_key("policy/adam.first"));
    let in_policy = |name: &&str| name.starts_with("policy/") && !name.contains("/adam.");
    let of_agent = sections
        .iter()
        .flat_map(|section| section.tensor_names())
        .filter(in_policy)
        .count();
    let of_case = case.after.keys().map(String::as_str).filter(in_policy).count();
    assert_eq!(of_agent, of_case, "every parameter of the policy is compared");
}

#[derive(Deserialize)]
struct GaussianHeadCase {
    inputs: Vec<f64>,
    log_std: Vec<f64>,
    noise: Vec<f64>,
    action: Vec<f64>,
    log_prob: Vec<f64>,
    d_inputs: Vec<f64>,
    d_log_std: Vec<f64>,
    mode: Vec<f64>,
}

#[derive(Deserialize)]
struct GaussianCase {
    head: Vec<GaussianHeadCase>,
    update: Case,
}

const ACTION_DIM: i64 = 2;

/// The function that the cases differentiate: Σ_j j·a_j + log π, summed over rows.
fn objective(action: &Tensor, log_prob: &Tensor) -> Tensor {
    let weights = Tensor::from_slice(&[1.0f32, 2.0]);
    (action * weights).sum(Kind::Float) + log_prob.sum(Kind::Float)
}

fn assert_close(what: &str, actual: &Tensor, expected: &[f64]) {
    let scale = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    let difference = relative_difference(actual, expected, scale);
    assert!(difference < TOLERANCE, "{what}: {difference}\n{expected:?}");
}

fn gaussian_equals(std: StdSource, log_std_bounds: LogStdBounds, data: &str) {
    let case: GaussianCase = read(data);
    let spec = SquashedGaussianSpec {
        std,
        log_std_bounds,
        log_std_min: if log_std_bounds == LogStdBounds::Tanh {
            -5.0
        } else {
            -20.0
        },
        ..SquashedGaussianSpec::default()
    };
    heads_equal(&case.head, || Box::new(SquashedGaussian::new(&spec, ACTION_DIM)));
    one_update_equals(PolicySpec::SquashedGaussian(spec), &case.update);
}

fn heads_equal(cases: &[GaussianHeadCase], head: impl Fn() -> Box<dyn PolicyHead>) {
    const ROWS: i64 = 2;
    assert_eq!(cases.len(), 3);
    for case in cases {
        let mut layout = ParamLayout::default();
        let mut head = head();
        head.add_parameters(&mut layout);
        let shape = layout.entries().next().map(|(_, shape)| shape.to_vec());
        let mut block = ParamBlock::new(layout, &mut Stream::derive(0, "test", 0), &Default::default());
        if let Some(shape) = shape {
            let log_std = tensor(&case.log_std).reshape(shape);
            block.set("log_std", &log_std).expect("the shape fits");
        }
        let inputs = tensor(&case.inputs).view([ROWS, -1]).set_requires_grad(true);
        let draw = head.draw(&block.views(), &inputs, &tensor(&case.noise).view([-1, ACTION_DIM]));
        assert_close("action", draw.sampled(), &case.action);
        assert_close("log_prob", &draw.log_prob, &case.log_prob);
        let mut at = vec![&inputs];
        at.extend((!case.d_log_std.is_empty()).then(|| block.flat()));
        let gradients = Tensor::run_backward(&[objective(draw.sampled(), &draw.log_prob)], &at, false, false);
        assert_close("gradient of the inputs", &gradients[0], &case.d_inputs);
        if let Some(gradient) = gradients.get(1) {
            assert_close("gradient of log_std", gradient, &case.d_log_std);
        }
        assert_close("mode", &head.mode(block.frozen(), &inputs), &case.mode);
    }
}

#[test]
fn noise_that_depends_on_the_state_equals_the_derivation() {
    let case: GaussianCase = read(include_str!("golden/gaussian_std/gsde.json"));
    let (gsde, gaussian) = (GsdeSpec::default(), SquashedGaussianSpec::default());
    let features = case.head[0].log_std.len() as i64 / ACTION_DIM;
    heads_equal(&case.head, || {
        Box::new(StateDependentNoise::new(&gsde, &gaussian, ACTION_DIM, features))
    });
    let spec = AgentSpec {
        exploration: ExplorationSpec::Gsde(gsde),
        ..AgentSpec::default()
    };
    one_update_of_agent_equals(spec, &case.update);
}

#[test]
fn a_std_independent_of_the_state_equals_the_derivation() {
    let data = include_str!("golden/gaussian_std/independent.json");
    gaussian_equals(StdSource::StateIndependent, LogStdBounds::Clamp, data);
}

#[test]
fn a_std_within_smooth_bounds_equals_the_derivation() {
    let data = include_str!("golden/gaussian_std/tanh.json");
    gaussian_equals(StdSource::StateDependent, LogStdBounds::Tanh, data);
}

#[test]
fn a_std_that_is_a_softplus_equals_the_derivation() {
    let data = include_str!("golden/gaussian_std/softplus.json");
    gaussian_equals(StdSource::StateDependent, LogStdBounds::Softplus, data);
}

#[test]
fn a_std_independent_of_the_state_within_smooth_bounds_equals_the_derivation() {
    let data = include_str!("golden/gaussian_std/independent_tanh.json");
    gaussian_equals(StdSource::StateIndependent, LogStdBounds::Tanh, data);
}

#[derive(Deserialize)]
struct FourierHeadCase {
    inputs: Vec<f64>,
    noise: Vec<f64>,
    action: Vec<f64>,
    log_prob: f64,
    gradient: Vec<f64>,
    mode: Option<Vec<f64>>,
}

fn fourier() -> FourierSpec {
    FourierSpec {
        frequencies: 3,
        uniform_share: 0.05,
        base_amplitude: 0.7,
        ..FourierSpec::default()
    }
}

#[test]
fn the_fourier_head_equals_the_derivation() {
    let cases: Vec<FourierHeadCase> = read(include_str!("golden/fourier/head.json"));
    let head = FourierHead::new(&fourier(), ACTION_DIM);
    assert_eq!(cases.len(), 6);
    for case in &cases {
        let inputs = tensor(&case.inputs).view([1, -1]).set_requires_grad(true);
        let draw = head.draw(&Params::default(), &inputs, &tensor(&case.noise).view([1, -1]));
        assert_close("action", draw.sampled(), &case.action);
        assert_close("log_prob", &draw.log_prob, &[case.log_prob]);
        let loss = objective(draw.sampled(), &draw.log_prob);
        let gradients = Tensor::run_backward(&[loss], &[&inputs], false, false);
        assert_close("gradient", &gradients[0], &case.gradient);
        if let Some(mode) = &case.mode {
            assert_close("mode", &head.mode(&Params::default(), &inputs), mode);
        }
    }
}

#[test]
fn an_update_with_the_fourier_head_equals_the_derivation() {
    let case: Case = read(include_str!("golden/fourier/update.json"));
    one_update_equals(PolicySpec::Fourier(fourier()), &case);
}
