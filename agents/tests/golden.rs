//! The default agent, the squashed Gaussian and Adam against golden data; see `golden/README.md`.

use std::collections::BTreeMap;

use crate::support::{Dims, Stored, agent_with, batch, implementations, named, read, relative_difference, tensor};
use sac_agents::{
    Agent, AgentSpec, Compute, metrics,
    nn::{AdamSpec, BodySpec, Init, ParamLayout, Trainable},
    noise::Stream,
    policy::squashed_gaussian::log_prob,
    temperature::{LearnedTemperatureSpec, TemperatureSpec},
};
use serde::Deserialize;
use tch::{Kind, Tensor};

#[derive(Deserialize)]
struct LogProbCase {
    mean: Vec<f64>,
    log_std: Vec<f64>,
    noise: Vec<f64>,
    log_prob: f64,
    d_mean: Vec<f64>,
    d_log_std: Vec<f64>,
}

#[test]
fn squashed_gaussian_log_prob_and_gradients_equal_the_definition() {
    let cases: Vec<LogProbCase> = read(include_str!("golden/log_prob/data.json"));
    assert_eq!(cases.len(), 8);
    for case in &cases {
        let row = |values: &[f64]| tensor(values).view([1, -1]);
        let mean = row(&case.mean).set_requires_grad(true);
        let log_std = row(&case.log_std).set_requires_grad(true);
        let noise = row(&case.noise);
        let u = &mean + log_std.exp() * &noise;
        let value = log_prob(&u, &noise, &log_std);
        assert!(
            relative_difference(&value, &[case.log_prob], 1.0) < 1e-5,
            "{:?}",
            case.mean
        );
        let gradients = Tensor::run_backward(&[value.sum(Kind::Float)], &[&mean, &log_std], false, false);
        assert!(
            relative_difference(&gradients[0], &case.d_mean, 1.0) < 1e-5,
            "{:?}",
            case.mean
        );
        assert!(
            relative_difference(&gradients[1], &case.d_log_std, 1.0) < 1e-5,
            "{:?}",
            case.mean
        );
    }
}

#[derive(Deserialize)]
struct AdamCase {
    start: Vec<f64>,
    gradients: Vec<Vec<f64>>,
    trajectory: Vec<Vec<f64>>,
}

#[test]
fn fifty_steps_of_adam_equal_those_of_pytorch() {
    let case: AdamCase = read(include_str!("golden/adam/data.json"));
    let mut layout = ParamLayout::default();
    layout.add("x", &[case.start.len() as i64], Init::Constant(0.0));
    let spec = AdamSpec {
        learning_rate: 1e-2,
        ..AdamSpec::default()
    };
    let mut trainable = Trainable::new(layout, spec, &mut Stream::derive(0, "test", 0), &Default::default());
    trainable.params.set("x", &tensor(&case.start)).expect("the shape fits");
    assert_eq!(case.trajectory.len(), 50);
    for (step, (gradient, expected)) in case.gradients.iter().zip(&case.trajectory).enumerate() {
        trainable.step(&tensor(gradient));
        let difference = relative_difference(trainable.params.flat(), expected, 0.1);
        assert!(difference < 1e-5, "step {step}: {difference}");
    }
}

#[derive(Deserialize)]
struct UpdateCase {
    dims: Dims,
    batch: BTreeMap<String, Vec<f64>>,
    noise: Vec<f64>,
    before: BTreeMap<String, Stored>,
    after: BTreeMap<String, Stored>,
    critic_loss: f64,
    actor_loss: f64,
    alpha_loss: f64,
}

/// SAC with the case's layer widths.
fn spec(case: &UpdateCase) -> AgentSpec {
    AgentSpec {
        body: BodySpec::mlp(&[case.dims.hidden; 2]),
        temperature: TemperatureSpec::Learned(LearnedTemperatureSpec::default()),
        ..AgentSpec::default()
    }
}

#[test]
fn one_full_update_equals_the_derivation() {
    let case: UpdateCase = read(include_str!("golden/sac_update/data.json"));
    for compute in implementations() {
        one_full_update_equals(&case, &compute);
    }
}

fn one_full_update_equals(case: &UpdateCase, compute: &Compute) {
    let mut agent = agent_with(&spec(case), &case.dims, &case.before, compute);
    let batch = batch(&case.dims, &case.batch);
    let mut stream = Stream::scripted(case.noise.iter().map(|value| *value as f32));
    let report: BTreeMap<_, _> = agent.update(&batch, &mut stream).read().into_iter().collect();
    for (name, expected) in [
        (metrics::CRITIC_LOSS, case.critic_loss),
        (metrics::ACTOR_LOSS, case.actor_loss),
        (metrics::ALPHA_LOSS, case.alpha_loss),
    ] {
        assert!(
            (report[name] - expected).abs() < 1e-5 * expected.abs().max(1.0),
            "{name}: {} {expected}",
            report[name]
        );
    }
    let sections = agent.sections().expect("sections");
    let mut compared = 0;
    for (name, expected) in &case.after {
        let actual = named(&sections, name);
        let moved = relative_difference(&actual, &case.before[name].data, 1e-1);
        let difference = relative_difference(&actual, &expected.data, 1e-1);
        assert!(difference < 1e-5, "{name}: {difference}");
        assert!(moved > 1e-5, "{name} did not change, so the comparison proves nothing");
        compared += expected.data.len();
    }
    assert!(compared > 200, "{compared} numbers were compared");
}
