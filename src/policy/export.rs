//! A policy with everything that acting outside of this program needs: [`Policy::export`].

use sac_agents::{Error as AgentsError, noise::Stream};
use sac_envs::{Dtype, Space, agent_observation_space, to_task_units};
use sac_policy::{Arithmetic, Bounds, Distribution, Draft, Export, Facts, Graph, Noise, Op, SelfTest, Tensor, Value};

use super::Policy;
use crate::error::{Error, Result};

/// Observations with their actions in a self-test.
const RECORDED: usize = 32;
/// Env steps from one recorded observation to the next.
const STRIDE: usize = 10;

impl Policy {
    /// The policy as a graph from raw observations to actions in the task's units, with what is known of it, and with
    /// recorded pairs of both from episodes in which it acts. With `is_drawn`, actions are drawn with noise that the
    /// graph takes; otherwise they are the mode.
    ///
    /// # Errors
    /// [`Error::NotExportable`] when a part of the agent does not say what it computes; when the environment fails.
    pub fn export(&mut self, is_drawn: bool) -> Result<Export> {
        let graph = self.graph(is_drawn)?;
        let self_test = self.recorded(graph.noise())?;
        let facts = Facts {
            env: self.config.env.id.clone(),
            observation_space: space(&self.spaces.observation),
            action_space: space(&self.spaces.action),
            algorithm: self.config.algo.name().to_string(),
            seed: self.config.train.seed,
            env_steps: self.env_steps.0,
            checkpoint_sha256: self.checkpoint_sha256.clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
        };
        Ok(Export::new(facts, graph, self_test)?)
    }

    fn graph(&mut self, is_drawn: bool) -> Result<Graph> {
        let observation = &self.spaces.observation;
        let mut draft = Draft::new(&observation.shape())?;
        let mut obs = draft.observation();
        if let Some(sizes) = choices(observation) {
            obs = draft.add(Op::OneHot { sizes }, &[obs])?;
        }
        let action = self
            .agent
            .trace(&mut draft, obs, is_drawn)
            .map_err(|error| match error {
                AgentsError::NotExportable(part) => Error::NotExportable {
                    part,
                    encoder: self.config.agent.encoder.kind().to_string(),
                    policy: self.config.agent.policy.kind().to_string(),
                },
                other => Error::Agents(other),
            })?;
        let action = in_task_units(&mut draft, &self.spaces.action, action)?;
        Ok(draft.finish(action)?)
    }

    /// Observations from episodes in which the policy acts, with its actions for them.
    fn recorded(&mut self, noise: Option<Noise>) -> Result<SelfTest> {
        let mut env = self.env()?;
        let mut stream = Stream::derive(0, "export", 0);
        let mut obs = vec![0.0; self.spaces.observation.len()];
        let mut action = vec![0.0; self.spaces.action.len()];
        let mut drawn = vec![0.0; noise.map_or(0, |noise| noise.len)];
        let mut test = SelfTest::default();
        env.reset(Some(0), &mut obs)?;
        for step in 0..RECORDED * STRIDE {
            match noise {
                None => self.act_into(&obs, &mut action)?,
                Some(noise) => {
                    draw(noise.distribution, &mut stream, &mut drawn);
                    self.act_with_noise(&obs, &drawn, &mut action)?;
                }
            }
            if step % STRIDE == 0 {
                test.observations.extend_from_slice(&obs);
                test.noise.extend_from_slice(&drawn);
                test.actions.extend_from_slice(&action);
            }
            if env.step(&action, &mut obs)?.status().is_over() {
                env.reset(None, &mut obs)?;
            }
        }
        Ok(test)
    }

    /// The action that is drawn with this noise, in the task's units.
    fn act_with_noise(&mut self, obs: &[f32], noise: &[f32], action: &mut [f32]) -> Result<()> {
        let space = &self.spaces.observation;
        let width = agent_observation_space(space).map_or(space.len(), |space| space.len());
        let mut seen = vec![0.0; width];
        sac_envs::to_agent_units(space, obs, &mut seen, || self.config.env.id.clone())?;
        let mut normalised = vec![0.0; action.len()];
        self.agent.act_with_noise(&seen, noise, &mut normalised)?;
        to_task_units(&self.spaces.action, &normalised, action);
        Ok(())
    }
}

/// Random numbers as a graph takes them.
fn draw(distribution: Distribution, stream: &mut Stream, out: &mut [f32]) {
    match distribution {
        Distribution::Normal => stream.normal_into(out),
        Distribution::Uniform => stream.uniform_into(0.0, 1.0, out),
        Distribution::Gumbel => {
            stream.uniform_into(0.0, 1.0, out);
            // The logarithm of 0 is infinite.
            out.iter_mut().for_each(|x| *x = -(-x.max(f32::MIN_POSITIVE).ln()).ln());
        }
    }
}

/// The number of choices of each position of a discrete space.
fn choices(space: &Space) -> Option<Vec<usize>> {
    match space {
        Space::Box { .. } => None,
        Space::Discrete { n } => Some(vec![*n]),
        Space::MultiDiscrete { n } => Some(n.clone()),
    }
}

/// Adds what `sac_envs::to_task_units` does to a graph.
fn in_task_units(draft: &mut Draft, space: &Space, action: Value) -> Result<Value> {
    let Space::Box { low, high, dtype, .. } = space else {
        return Ok(action);
    };
    let mut bounds = |name: &str, numbers: &[f32]| {
        let tensor = Tensor {
            shape: vec![numbers.len()],
            data: numbers.to_vec(),
        };
        draft.tensor(name, tensor).map(|()| name.to_string())
    };
    let low = bounds("action.low", low)?;
    if dtype.is_whole() {
        let low = draft.add(Op::Constant { tensor: low }, &[])?;
        return Ok(draft.add(Op::Combine(Arithmetic::Add), &[action, low])?);
    }
    let high = bounds("action.high", high)?;
    Ok(draft.add(Op::Rescale { low, high }, &[action])?)
}

fn space(space: &Space) -> sac_policy::Space {
    match space {
        Space::Box {
            shape,
            low,
            high,
            dtype,
        } => sac_policy::Space::Box {
            shape: shape.clone(),
            low: Bounds::of(low),
            high: Bounds::of(high),
            dtype: match dtype {
                Dtype::F32 => sac_policy::Dtype::F32,
                Dtype::U8 => sac_policy::Dtype::U8,
                Dtype::I32 => sac_policy::Dtype::I32,
            },
        },
        Space::Discrete { n } => sac_policy::Space::Discrete { n: *n },
        Space::MultiDiscrete { n } => sac_policy::Space::MultiDiscrete { n: n.clone() },
    }
}
