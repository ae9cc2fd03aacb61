//! Numbers derived elsewhere: see `golden/README.md`.

use std::collections::BTreeMap;

use sac_agents::{
    Agent, AgentSpec, Batch, SoftActorCritic,
    checkpoint::{self, Checkpoint, Section},
    metrics,
    nn::{AdamSpec, BodySpec, Init, ParamLayout, Trainable},
    noise::Stream,
    policy::squashed_gaussian::log_prob,
    schedule::{EnvSteps, GradSteps},
    temperature::{LearnedTemperatureSpec, TemperatureSpec},
};
use sac_envs::Space;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).expect("golden data has the shape that the test expects")
}

fn tensor(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_slice(&values)
}

/// Largest difference, relative to the larger of the value and `scale`.
fn relative_difference(found: &Tensor, expected: &[f64], scale: f64) -> f64 {
    let found: Vec<f64> = found
        .flatten(0, -1)
        .to_kind(Kind::Double)
        .try_into()
        .expect("a vector of numbers");
    assert_eq!(found.len(), expected.len());
    let differences = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / b.abs().max(scale));
    differences.fold(0.0, f64::max)
}

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
fn fifty_adam_steps_equal_pytorchs() {
    let case: AdamCase = read(include_str!("golden/adam/data.json"));
    let mut layout = ParamLayout::default();
    layout.add("x", &[case.start.len() as i64], Init::Constant(0.0));
    let spec = AdamSpec {
        learning_rate: 1e-2,
        ..AdamSpec::default()
    };
    let mut trainable = Trainable::new(layout, spec, &mut Stream::derive(0, "test", 0), Device::Cpu);
    trainable.params.set("x", &tensor(&case.start)).expect("the shape fits");
    assert_eq!(case.trajectory.len(), 50);
    for (step, (gradient, expected)) in case.gradients.iter().zip(&case.trajectory).enumerate() {
        trainable.step(&tensor(gradient));
        let difference = relative_difference(trainable.params.flat(), expected, 0.1);
        assert!(difference < 1e-5, "step {step}: {difference}");
    }
}

#[derive(Deserialize)]
struct Stored {
    shape: Vec<usize>,
    data: Vec<f64>,
}

#[derive(Deserialize)]
struct Dims {
    obs: usize,
    act: usize,
    hidden: i64,
    batch: i64,
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

/// Builds an agent with the parameters of the golden case, through a checkpoint as a user would.
fn agent_with(case: &UpdateCase) -> SoftActorCritic {
    let spec = AgentSpec {
        body: BodySpec {
            hidden: vec![case.dims.hidden; 2],
            ..BodySpec::default()
        },
        temperature: TemperatureSpec::Learned(LearnedTemperatureSpec::default()),
        ..AgentSpec::default()
    };
    let spaces = (Space::unbounded(case.dims.obs), Space::boxed(case.dims.act, -1.0, 1.0));
    let mut agent = SoftActorCritic::new(&spec, "golden", (&spaces.0, &spaces.1), 0, Device::Cpu).expect("valid");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("start");
    let sections = agent.sections().expect("sections");
    let values: BTreeMap<&str, Vec<f32>> = case
        .before
        .iter()
        .map(|(name, stored)| (name.as_str(), stored.data.iter().map(|value| *value as f32).collect()))
        .collect();
    let mut replaced = Vec::new();
    for section in &sections {
        let mut copy = Section::new(section.name());
        copy.set_state(&section.state::<serde_json::Value>().expect("state"))
            .expect("state");
        for name in section.tensor_names() {
            match values.get(name) {
                Some(values) => copy.put_slice(name, &case.before[name].shape, values),
                None => copy.put_tensor(name, &section.any_tensor(name).expect("listed")),
            }
        }
        replaced.push(copy);
    }
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &replaced).expect("written");
    agent.load(&Checkpoint::read(&path, &[]).expect("read")).expect("fits");
    agent
}

#[test]
fn one_full_update_equals_the_derivation() {
    let case: UpdateCase = read(include_str!("golden/sac_update/data.json"));
    let mut agent = agent_with(&case);
    let rows = |name: &str| tensor(&case.batch[name]).view([case.dims.batch, -1]);
    let flat = |name: &str| tensor(&case.batch[name]);
    let batch = Batch::new(
        rows("obs"),
        rows("action"),
        flat("reward"),
        flat("discount"),
        rows("next_obs"),
    );
    let mut noise = Stream::scripted(case.noise.iter().map(|value| *value as f32));
    let report: BTreeMap<_, _> = agent.update(&batch, &mut noise).read().into_iter().collect();
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
        let section = sections
            .iter()
            .find(|section| section.tensor_names().any(|other| other == name));
        let found = section.expect(name).any_tensor(name).expect(name);
        let moved = relative_difference(&found, &case.before[name].data, 1e-1);
        let difference = relative_difference(&found, &expected.data, 1e-1);
        assert!(difference < 1e-5, "{name}: {difference}");
        assert!(moved > 1e-5, "{name} did not move, so the comparison sees nothing");
        compared += expected.data.len();
    }
    assert!(compared > 200, "{compared} numbers were compared");
}
