//! A policy with what is known of it, and the file that holds both: [`Export`].
//!
//! The file is a safetensors file. Its tensors are those of the graph, by name, and `self_test.observation [n, O]`,
//! `self_test.action [n, A]` and, for drawn actions, `self_test.noise [n, W]`. Its metadata has two entries:
//!
//! | Key | Value |
//! |---|---|
//! | `sac_policy` | JSON: `format`, `facts` ([`Facts`]), `observation` (the shape), `nodes` ([`Node`]) and `output` |
//! | `sha256` | digest of that JSON text and of names, shapes and bytes of all tensors |

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    graph::{Draft, Graph, Node, Tensor, Value},
    space::Space,
};

/// Version of the format that this module describes.
const FORMAT: u32 = 1;
const HEADER: &str = "sac_policy";
const DIGEST: &str = "sha256";
const SELF_TEST: &str = "self_test.";

/// What is known of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Id of the environment that it was trained on.
    pub env: String,
    /// Its observations.
    pub observation_space: Space,
    /// Its actions.
    pub action_space: Space,
    /// Name of the preset.
    pub algorithm: String,
    /// Seed of the run.
    pub seed: u64,
    /// Env steps of training when it was saved.
    pub env_steps: u64,
    /// SHA-256 of the manifest of the checkpoint, which lists the digests of its files.
    pub checkpoint_sha256: String,
    /// Version of the program that exported it.
    pub version: String,
}

/// Recorded observations with the actions for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfTest {
    /// `[n, O]`.
    pub observations: Vec<f32>,
    /// `[n, W]`, empty for a policy without noise.
    pub noise: Vec<f32>,
    /// `[n, A]`.
    pub actions: Vec<f32>,
}

/// A policy, what is known of it, and its self-test. All parts fit each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    facts: Facts,
    graph: Graph,
    self_test: SelfTest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    facts: Facts,
    observation: Vec<usize>,
    nodes: Vec<Node>,
    output: Value,
}

impl Export {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub fn new(facts: Facts, graph: Graph, self_test: SelfTest) -> Result<Self> {
        let refused = |problem: String| Err(Error::NotAnExport(problem));
        facts.observation_space.check()?;
        facts.action_space.check()?;
        let (observation, action) = (facts.observation_space.shape(), facts.action_space.len());
        if observation != graph.observation() {
            return refused(format!(
                "observations are {observation:?}, but the graph takes {:?}",
                graph.observation()
            ));
        }
        let output = graph.len(graph.output());
        if output != action {
            return refused(format!("actions have {action} numbers, but the graph gives {output}"));
        }
        let noise = graph.noise().map_or(0, |noise| noise.len);
        let rows = self_test.observations.len() / facts.observation_space.len();
        let lengths = [
            (&self_test.observations, facts.observation_space.len()),
            (&self_test.actions, action),
            (&self_test.noise, noise),
        ];
        if lengths
            .iter()
            .any(|(numbers, width)| rows.checked_mul(*width) != Some(numbers.len()))
        {
            return refused("the recorded observations and actions do not have the lengths of the spaces".to_string());
        }
        Ok(Export {
            facts,
            graph,
            self_test,
        })
    }

    /// What is known of the policy.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it computes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Recorded observations and actions.
    pub fn self_test(&self) -> &SelfTest {
        &self.self_test
    }

    /// The content of a safetensors file.
    ///
    /// # Errors
    /// When it cannot be written in that format.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header {
            format: FORMAT,
            facts: self.facts.clone(),
            observation: self.graph.observation().to_vec(),
            nodes: self.graph.nodes().to_vec(),
            output: self.graph.output(),
        };
        let header = serde_json::to_string(&header).map_err(|error| Error::NotAnExport(error.to_string()))?;
        let mut tensors = self.graph.tensors().clone();
        let SelfTest {
            observations,
            noise,
            actions,
        } = &self.self_test;
        for (name, numbers) in [("observation", observations), ("noise", noise), ("action", actions)] {
            if !numbers.is_empty() {
                let rows = observations.len() / self.facts.observation_space.len();
                let tensor = Tensor {
                    shape: vec![rows, numbers.len() / rows],
                    data: numbers.clone(),
                };
                tensors.insert(format!("{SELF_TEST}{name}"), tensor);
            }
        }
        write(header, &tensors)
    }

    /// Reads the content of a safetensors file.
    ///
    /// # Errors
    /// When it is none, when it is damaged, and when its parts do not fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (header, mut tensors) = read(bytes)?;
        let header: Header = serde_json::from_str(&header).map_err(|error| refused(error.to_string()))?;
        if header.format != FORMAT {
            return Err(refused(format!("format {}, expected {FORMAT}", header.format)));
        }
        let mut take = |name: &str| {
            let tensor = tensors.remove(&format!("{SELF_TEST}{name}"));
            tensor.map_or_else(Vec::new, |tensor| tensor.data)
        };
        let self_test = SelfTest {
            observations: take("observation"),
            noise: take("noise"),
            actions: take("action"),
        };
        let graph = Draft::of(&header.observation, header.nodes, tensors)?.finish(header.output)?;
        Export::new(header.facts, graph, self_test)
    }
}

fn refused(problem: impl Into<String>) -> Error {
    Error::NotAnExport(problem.into())
}

/// The digest of header and tensors, in hexadecimal digits.
fn digest<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>) -> String {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(header.as_bytes());
    for (name, shape, bytes) in tensors {
        part(name.as_bytes());
        let extents: Vec<u8> = shape.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect();
        part(&extents);
        part(bytes);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(header: String, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|tensor| tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let parts = || tensors.iter().zip(&bytes);
    let digest = digest(
        &header,
        parts().map(|((name, tensor), bytes)| (name.as_str(), &tensor.shape[..], &bytes[..])),
    );
    let views = parts()
        .map(|((name, tensor), bytes)| Ok((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    let metadata = HashMap::from([(HEADER.to_string(), header), (DIGEST.to_string(), digest)]);
    views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|error| refused(error.to_string()))
}

/// The header and the tensors of a file that is as it was written.
fn read(bytes: &[u8]) -> Result<(String, BTreeMap<String, Tensor>)> {
    let no_file = |error: safetensors::SafeTensorError| refused(error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(no_file)?;
    let file = SafeTensors::deserialize(bytes).map_err(no_file)?;
    let entry = |key: &str| {
        let found = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(key).cloned());
        found.ok_or_else(|| refused(format!("its metadata has no `{key}`")))
    };
    let (header, expected) = (entry(HEADER)?, entry(DIGEST)?);
    let views: BTreeMap<&str, TensorView> = file.iter().collect();
    let parts = views.iter().map(|(name, view)| (*name, view.shape(), view.data()));
    let actual = digest(&header, parts);
    if actual != expected {
        return Err(Error::Damaged { actual, expected });
    }
    let mut tensors = BTreeMap::new();
    for (name, view) in views {
        if view.dtype() != Dtype::F32 {
            return Err(refused(format!("tensor `{name}` is {:?}, expected F32", view.dtype())));
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        let tensor = Tensor {
            shape: view.shape().to_vec(),
            data: numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        };
        tensors.insert(name.to_string(), tensor);
    }
    Ok((header, tensors))
}

#[cfg(test)]
mod tests;
