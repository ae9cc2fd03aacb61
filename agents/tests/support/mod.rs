//! Functions that the golden tests share.

use std::collections::BTreeMap;

use sac_agents::{
    Agent, AgentSpec, Batch, Compute, SoftActorCritic,
    checkpoint::{self, Checkpoint, Section},
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use serde::Deserialize;
use tch::{Kind, Tensor};

pub fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).expect("golden data has the shape that the test expects")
}

pub fn tensor(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_slice(&values)
}

/// The largest difference relative to the expected value, or to `scale` for smaller values.
pub fn relative_difference(actual: &Tensor, expected: &[f64], scale: f64) -> f64 {
    let actual: Vec<f64> = actual
        .flatten(0, -1)
        .to_kind(Kind::Double)
        .try_into()
        .expect("a vector of numbers");
    assert_eq!(actual.len(), expected.len());
    let differences = actual
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / b.abs().max(scale));
    differences.fold(0.0, f64::max)
}

#[derive(Deserialize)]
pub struct Stored {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

#[derive(Deserialize)]
pub struct Dims {
    pub obs: usize,
    pub act: usize,
    pub hidden: i64,
    pub batch: i64,
    /// Choices per position of discrete actions.
    #[serde(default)]
    pub positions: Vec<usize>,
}

impl Dims {
    fn action(&self) -> Space {
        match self.positions.as_slice() {
            [] => Space::boxed(self.act, -1.0, 1.0),
            n => Space::MultiDiscrete { n: n.to_vec() },
        }
    }
}

/// The batch of a case, with weights if the case has them.
pub fn batch(dims: &Dims, values: &BTreeMap<String, Vec<f64>>) -> Batch {
    let rows = |name: &str| tensor(&values[name]).view([dims.batch, -1]);
    let flat = |name: &str| tensor(&values[name]);
    let batch = Batch::new(
        rows("obs"),
        rows("action"),
        flat("reward"),
        flat("discount"),
        rows("next_obs"),
    );
    Batch {
        weight: values.contains_key("weight").then(|| flat("weight")),
        ..batch
    }
}

/// Both implementations of the update, which are compared with the same golden data.
pub fn implementations() -> [Compute; 2] {
    [Compute::default(), Compute::reference()]
}

/// Builds an agent with the parameters of a golden case, by loading a checkpoint as a user would. Tensors that a new
/// agent does not have are running statistics of the critic.
pub fn agent_with(
    spec: &AgentSpec,
    dims: &Dims,
    before: &BTreeMap<String, Stored>,
    compute: &Compute,
) -> SoftActorCritic {
    let spaces = (Space::unbounded(dims.obs), dims.action());
    let spaces = (&spaces.0, &spaces.1);
    let mut agent = SoftActorCritic::new(spec, "golden", spaces, 0, compute.clone()).expect("valid");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("start");
    let sections = agent.sections().expect("sections");
    let values: BTreeMap<&str, Vec<f32>> = before
        .iter()
        .map(|(name, stored)| (name.as_str(), stored.data.iter().map(|value| *value as f32).collect()))
        .collect();
    let is_new = |name: &str| {
        !sections
            .iter()
            .any(|section| section.tensor_names().any(|other| other == name))
    };
    let mut replaced = Vec::new();
    for section in &sections {
        let mut copy = Section::new(section.name());
        copy.set_state(&section.state::<serde_json::Value>().expect("state"))
            .expect("state");
        for name in section.tensor_names() {
            match values.get(name) {
                Some(values) => copy.put_slice(name, &before[name].shape, values),
                None => copy.put_tensor(name, &section.any_tensor(name).expect("listed")),
            }
        }
        if section.name() == "critic" {
            for (name, values) in values.iter().filter(|(name, _)| is_new(name)) {
                copy.put_slice(*name, &before[*name].shape, values);
            }
        }
        replaced.push(copy);
    }
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &replaced).expect("written");
    agent.load(&Checkpoint::read(&path, &[]).expect("read")).expect("fits");
    agent
}

/// The tensor `name` of an agent, from any section.
pub fn named(sections: &[Section], name: &str) -> Tensor {
    let section = sections
        .iter()
        .find(|section| section.tensor_names().any(|other| other == name));
    section.expect(name).any_tensor(name).expect(name)
}
