//! Updates of REDQ and DroQ against golden data; see `golden/README.md`.

use std::collections::BTreeMap;

use sac_agents::{
    Agent, AgentSpec, Batch, DelaySpec, SoftActorCritic,
    checkpoint::{self, Checkpoint, Section},
    metrics,
    noise::Stream,
    presets,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

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
    members: i64,
    dropout: Option<f64>,
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

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The table `[agent]` of a preset.
fn preset(name: &str) -> toml::Table {
    let mut table = presets::by_name(name).expect("a preset").table();
    table.remove("agent").expect("an agent").try_into().expect("a table")
}

/// A preset at the size of its golden case.
fn small(name: &str, dims: &Dims) -> AgentSpec {
    let mut table = preset(name);
    let hidden = toml::Value::from(vec![dims.hidden; 2]);
    table["body"]["hidden"] = hidden.clone();
    table["critic"]["members"] = dims.members.into();
    if let Some(body) = table.get_mut("critic_body") {
        body["hidden"] = hidden;
        body["dropout"] = dims.dropout.expect("a separate critic body has dropout").into();
    }
    table.try_into().expect("valid")
}

fn agent(spec: &AgentSpec, dims: &Dims) -> SoftActorCritic {
    let spaces = (Space::unbounded(dims.obs), Space::boxed(dims.act, -1.0, 1.0));
    SoftActorCritic::new(spec, "golden", (&spaces.0, &spaces.1), 0, Device::Cpu).expect("valid")
}

/// Gives an agent the parameters of the golden case, by loading a checkpoint as a user would.
fn restore(agent: &mut SoftActorCritic, case: &UpdateCase) {
    let values: BTreeMap<&str, Vec<f32>> = case
        .before
        .iter()
        .map(|(name, stored)| (name.as_str(), single(&stored.data)))
        .collect();
    let sections = agent.sections().expect("sections");
    let mut replaced = Vec::new();
    for section in &sections {
        let mut copy = Section::new(section.name());
        let state: serde_json::Value = section.state().expect("state");
        copy.set_state(&state).expect("state");
        for name in section.tensor_names() {
            match values.get(name) {
                Some(values) => copy.put_slice(name, &case.before[name].shape, values),
                None => copy.put_tensor(name, &section.any_tensor(name).expect("listed")),
            }
        }
        replaced.push(copy);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("start");
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &replaced).expect("written");
    agent.load(&Checkpoint::read(&path, &[]).expect("read")).expect("fits");
}

/// The largest difference relative to the expected value, or to 0.1 for smaller values.
fn difference(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let pairs = actual.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs() / b.abs().max(0.1)).fold(0.0, f64::max)
}

fn check(name: &str, data: &str) {
    let case: UpdateCase = serde_json::from_str(data).expect("golden data has the shape that the test expects");
    // Without delays, so that the first update is a full one.
    let spec = AgentSpec {
        delay: DelaySpec::default(),
        ..small(name, &case.dims)
    };
    let mut agent = agent(&spec, &case.dims);
    restore(&mut agent, &case);
    let flat = |name: &str| Tensor::from_slice(&single(&case.batch[name]));
    let rows = |name: &str| flat(name).view([case.dims.batch, -1]);
    let batch = Batch::new(
        rows("obs"),
        rows("action"),
        flat("reward"),
        flat("discount"),
        rows("next_obs"),
    );
    let mut stream = Stream::scripted(single(&case.noise));
    let report: BTreeMap<_, _> = agent.update(&batch, &mut stream).read().into_iter().collect();
    for (metric, expected) in [
        (metrics::CRITIC_LOSS, case.critic_loss),
        (metrics::ACTOR_LOSS, case.actor_loss),
        (metrics::ALPHA_LOSS, case.alpha_loss),
    ] {
        let actual = report[metric];
        assert!(
            (actual - expected).abs() < 1e-5 * expected.abs().max(1.0),
            "{metric}: {actual} {expected}"
        );
    }
    let sections = agent.sections().expect("sections");
    for (name, expected) in &case.after {
        let section = sections
            .iter()
            .find(|section| section.tensor_names().any(|other| other == name));
        let tensor = section.expect(name).any_tensor(name).expect(name);
        let actual: Vec<f64> = tensor.flatten(0, -1).to_kind(Kind::Double).try_into().expect("numbers");
        let distance = difference(&actual, &expected.data);
        assert!(distance < 1e-5, "{name}: {distance}");
        let moved = difference(&actual, &case.before[name].data);
        assert!(moved > 1e-5, "{name} did not change, so the comparison proves nothing");
    }
    let of_critic = case.after.keys().filter(|name| name.starts_with("critic/")).count();
    let in_critic = sections
        .iter()
        .find(|section| section.name() == "critic")
        .expect("there");
    let parameters = in_critic
        .tensor_names()
        .filter(|name| name.starts_with("critic/body."))
        .count();
    assert_eq!(of_critic, parameters, "every parameter of the critic is compared");
}

#[test]
fn an_update_of_redq_equals_the_derivation() {
    check("redq", include_str!("golden/redq_update/data.json"));
}

#[test]
fn an_update_of_droq_equals_the_derivation() {
    check("droq", include_str!("golden/droq_update/data.json"));
}

#[test]
fn the_policy_is_updated_once_per_twenty_updates_of_the_critics() {
    for name in ["redq", "droq"] {
        let dims = Dims {
            obs: 3,
            act: 2,
            hidden: 8,
            batch: 4,
            members: 4,
            dropout: Some(0.01),
        };
        let mut agent = agent(&small(name, &dims), &dims);
        let mut stream = Stream::derive(1, "update", 0);
        let mut draw = |shape: &[i64]| stream.normal(shape, Device::Cpu);
        let batch = Batch::new(
            draw(&[4, 3]),
            draw(&[4, 2]).tanh(),
            draw(&[4]),
            Tensor::from_slice(&[0.99f32; 4]),
            draw(&[4, 3]),
        );
        let parameters = |agent: &SoftActorCritic| -> Vec<(String, Tensor)> {
            let sections = agent.sections().expect("sections");
            let named = |section: &Section| -> Vec<(String, Tensor)> {
                let names = section.tensor_names();
                names
                    .map(|name| (name.to_string(), section.any_tensor(name).expect("listed")))
                    .collect()
            };
            sections.iter().flat_map(named).collect()
        };
        let mut before = parameters(&agent);
        for update in 1..=40 {
            let _ = agent.update(&batch, &mut stream);
            let after = parameters(&agent);
            let changed = |prefix: &str| {
                let mut pairs = before.iter().zip(&after);
                pairs.any(|((name, old), (_, new))| name.starts_with(prefix) && old != new)
            };
            let is_due = update % 20 == 0;
            assert!(changed("critic/") && changed("target/"), "{name}, update {update}");
            assert_eq!(
                (changed("policy/"), changed("log_alpha/")),
                (is_due, is_due),
                "{name}, update {update}"
            );
            before = after;
        }
    }
}
