//! A trained policy, to act with: [`Policy`].

use std::{fs, path::Path, sync::Arc};

use crate::{
    error::{Error, Result},
    export::{Export, Facts, SelfTest},
    graph::{Graph, Noise},
    interpreter::Interpreter,
    space::Space,
};

/// The most that an action may differ from a recorded one, relative to the range of actions.
pub const TOLERANCE: f32 = 1e-5;

/// A trained policy. It takes raw observations and gives actions in the environment's own units.
///
/// ```
/// use sac_policy::{Arithmetic, Bounds, Draft, Dtype, Export, Facts, Op, Policy, SelfTest, Space, Tensor};
///
/// // What `sac export` writes, here for an action that is the sum of an observation and 0.5.
/// let numbers = || Space::Box { shape: vec![2], low: Bounds::Same(None), high: Bounds::Same(None), dtype: Dtype::F32 };
/// let mut draft = Draft::new(&[2])?;
/// draft.tensor("half", Tensor { shape: vec![2], data: vec![0.5, 0.5] })?;
/// let half = draft.add(Op::Constant { tensor: "half".into() }, &[])?;
/// let sum = draft.add(Op::Combine(Arithmetic::Add), &[draft.observation(), half])?;
/// let facts = Facts {
///     env: "Sum-v0".into(), observation_space: numbers(), action_space: numbers(), algorithm: "sac".into(), seed: 0,
///     env_steps: 0, checkpoint_sha256: String::new(), version: "0.1.0".into(),
/// };
/// let test = SelfTest { observations: vec![1.0, 2.0], noise: vec![], actions: vec![1.5, 2.5] };
/// let bytes = Export::new(facts, draft.finish(sum)?, test)?.to_bytes()?;
///
/// let mut policy = Policy::new(Export::from_bytes(&bytes)?);
/// assert_eq!(policy.act(&[3.0, 4.0])?, [3.5, 4.5]);
/// policy.self_test()?;
/// assert_eq!(policy.act(&[1.0]).unwrap_err().to_string(), "observation has 1 numbers, expected 2");
/// # Ok::<(), sac_policy::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    facts: Facts,
    self_test: SelfTest,
    interpreter: Interpreter,
}

impl Policy {
    /// Loads what `sac export --format safetensors` wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is no export, or is damaged.
    pub fn load(path: impl AsRef<Path>) -> Result<Policy> {
        let path = path.as_ref();
        if path.is_dir() {
            return Err(Error::NotAnExport(format!(
                "{0} is a folder; the policy of a run is written by `sac export {0} --format safetensors --out FILE`",
                path.display()
            )));
        }
        let bytes = fs::read(path).map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Policy::new(Export::from_bytes(&bytes)?))
    }

    /// The policy of an export.
    pub fn new(export: Export) -> Policy {
        Policy {
            facts: export.facts().clone(),
            self_test: export.self_test().clone(),
            interpreter: Interpreter::new(Arc::new(export.graph().clone())),
        }
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What it computes.
    pub fn graph(&self) -> &Graph {
        self.interpreter.graph()
    }

    /// The random numbers that it takes for a drawn action, if it draws actions.
    pub fn noise(&self) -> Option<Noise> {
        self.graph().noise()
    }

    /// The action for an observation, for a policy without noise. An index is one number.
    ///
    /// # Errors
    /// When the observation has another length than the environment's or a number that is not finite, and when the policy
    /// takes noise.
    pub fn act(&mut self, obs: &[f32]) -> Result<Vec<f32>> {
        let mut action = vec![0.0; self.facts.action_space.len()];
        self.act_into(obs, &[], &mut action)?;
        Ok(action)
    }

    /// The action for an observation and noise ([`Policy::noise`]).
    ///
    /// # Errors
    /// As [`Policy::act`]; when the noise has another length.
    pub fn act_with_noise(&mut self, obs: &[f32], noise: &[f32]) -> Result<Vec<f32>> {
        let mut action = vec![0.0; self.facts.action_space.len()];
        self.act_into(obs, noise, &mut action)?;
        Ok(action)
    }

    /// [`Policy::act_with_noise`] into a buffer. Allocates nothing after the first call.
    ///
    /// # Errors
    /// As [`Policy::act_with_noise`]; when the buffer does not have the length of an action.
    pub fn act_into(&mut self, obs: &[f32], noise: &[f32], action: &mut [f32]) -> Result<()> {
        check_len("observation", obs, self.facts.observation_space.len())?;
        check_len("action", action, self.facts.action_space.len())?;
        self.act_rows(1, obs, noise, action)
    }

    /// Actions `[N, A]` for observations `[N, O]` and noise `[N, W]`, which is empty for a policy without noise; row by
    /// row in one slice.
    ///
    /// # Errors
    /// When there is no whole number of observations, and as [`Policy::act_with_noise`].
    pub fn act_batch(&mut self, obs: &[f32], noise: &[f32]) -> Result<Vec<f32>> {
        let width = self.facts.observation_space.len();
        if !obs.len().is_multiple_of(width) {
            return Err(Error::Length {
                what: "a batch of observations",
                actual: obs.len(),
                expected: format!("a multiple of {width}"),
            });
        }
        let rows = obs.len() / width;
        let mut actions = vec![0.0; rows * self.facts.action_space.len()];
        self.act_rows(rows, obs, noise, &mut actions)?;
        Ok(actions)
    }

    fn act_rows(&mut self, rows: usize, obs: &[f32], noise: &[f32], actions: &mut [f32]) -> Result<()> {
        check_len("noise", noise, rows * self.noise().map_or(0, |noise| noise.len))?;
        self.facts.observation_space.check_observation(obs)?;
        if let Some(at) = noise.iter().position(|x| !x.is_finite()) {
            return Err(Error::Value {
                what: "noise",
                value: noise[at],
                at,
                expected: "a finite number".to_string(),
            });
        }
        actions.copy_from_slice(self.interpreter.run(rows, obs, noise));
        Ok(())
    }

    /// Acts on the recorded observations, and returns the largest difference from the recorded actions, relative to the
    /// range of each number of an action.
    ///
    /// # Errors
    /// [`Error::SelfTest`] when it is above [`TOLERANCE`].
    pub fn self_test(&mut self) -> Result<f32> {
        let SelfTest {
            observations,
            noise,
            actions: expected,
        } = self.self_test.clone();
        let actions = self.act_batch(&observations, &noise)?;
        let (at, error) = largest_error(&self.facts.action_space, &actions, &expected);
        match error <= TOLERANCE {
            true => Ok(error),
            false => Err(Error::SelfTest {
                row: at / self.facts.action_space.len(),
                error,
                most: TOLERANCE,
            }),
        }
    }
}

/// The index of the largest difference between actions `[N, A]`, and the difference relative to the range of its number.
/// NaN differs infinitely.
pub fn largest_error(space: &Space, actual: &[f32], expected: &[f32]) -> (usize, f32) {
    let mut largest = (0, 0.0);
    for (at, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (actual - expected).abs() / space.range(at % space.len());
        let error = if error.is_nan() { f32::INFINITY } else { error };
        if error > largest.1 {
            largest = (at, error);
        }
    }
    largest
}

fn check_len(what: &'static str, numbers: &[f32], expected: usize) -> Result<()> {
    match numbers.len() == expected {
        true => Ok(()),
        false => Err(Error::Length {
            what,
            actual: numbers.len(),
            expected: expected.to_string(),
        }),
    }
}
