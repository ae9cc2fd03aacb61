//! Trained policies in Python: [`NativePolicy`].

use std::sync::{Mutex, PoisonError};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};
use sac::{
    EvaluateOptions, Policy, Registry,
    agents::{ActMode, EnvSteps, noise::derived_seed},
    run::Which,
};
use tch::Kind;

use crate::{
    convert,
    errors::{broken, config_exception, detached},
    messages, objects,
    rows::Rows,
};

/// A loaded policy.
#[pyclass]
pub struct NativePolicy {
    policy: Mutex<Policy>,
}

impl NativePolicy {
    fn policy(&mut self) -> &mut Policy {
        self.policy.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seeds of the episodes of an evaluation.
#[pyfunction]
pub fn eval_seeds(seed: u64, episodes: u64) -> Vec<u64> {
    (0..episodes).map(|i| derived_seed(seed, "eval", i)).collect()
}

/// A tensor: name, dtype of NumPy, shape, and its bytes.
type Parameter<'py> = (String, &'static str, Vec<i64>, Bound<'py, PyBytes>);

#[pymethods]
impl NativePolicy {
    #[new]
    fn new(
        py: Python<'_>,
        run: std::path::PathBuf,
        checkpoint: &str,
        device: &str,
        source: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        messages::install();
        let which = match checkpoint {
            "best" => Which::BestOrLast,
            "last" => Which::Last,
            count => match count.parse() {
                Ok(count) => Which::At(EnvSteps(count)),
                Err(_) => {
                    let problem = format!("checkpoint {count:?}: expected \"best\", \"last\" or a number of env steps");
                    return Err(crate::errors::exception(py, &sac::Error::Usage(problem)));
                }
            },
        };
        let mut registry = Registry::builtin();
        if let Some(source) = source {
            objects::register(&mut registry, source)?;
        }
        let policy = detached(py, || Policy::load_on(run, which, device, &registry))?;
        Ok(NativePolicy {
            policy: Mutex::new(policy),
        })
    }

    /// Observation and action space of the task.
    fn spaces<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        let spaces = self.policy().spaces();
        Ok((
            convert::space(py, &spaces.observation)?,
            convert::space(py, &spaces.action)?,
        ))
    }

    /// Env steps, name of the checkpoint, id of the environment, algorithm, options of the environment as JSON.
    fn info(&mut self) -> (u64, String, String, String, String) {
        let policy = self.policy();
        let config = policy.config();
        (
            policy.env_steps().0,
            policy.saved_as().to_string(),
            config.env.id.clone(),
            config.algo.to_string(),
            serde_json::to_string(&config.env.options).unwrap_or_default(),
        )
    }

    /// Actions for `rows` observations, into an array.
    fn act(
        &mut self,
        py: Python<'_>,
        obs: &Bound<'_, PyAny>,
        actions: &Bound<'_, PyAny>,
        rows: usize,
        deterministic: bool,
    ) -> PyResult<()> {
        let policy = self.policy();
        let mut obs = Rows::<f32>::of(obs, rows * policy.spaces().observation.len())?;
        let mut actions = Rows::<f32>::of(actions, rows * policy.spaces().action.len())?;
        let mode = match deterministic {
            true => ActMode::Evaluate,
            false => ActMode::Explore,
        };
        detached(py, || {
            actions.get().copy_from_slice(&policy.act_batch(obs.get(), mode)?);
            Ok(())
        })
    }

    fn reseed(&mut self, seed: u64) {
        self.policy().reseed(seed);
    }

    /// Returns and lengths of episodes.
    fn evaluate(
        &mut self,
        py: Python<'_>,
        episodes: u64,
        seed: u64,
        deterministic: bool,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<(Vec<f64>, Vec<u64>)> {
        let env = convert::options(options)?.map_err(|issues| config_exception(py, issues))?;
        let policy = self.policy();
        let evaluation = detached(py, || {
            policy.evaluate_with(&EvaluateOptions {
                episodes,
                seed,
                stochastic: !deterministic,
                env,
            })
        })?;
        Ok((evaluation.returns, evaluation.lengths))
    }

    /// All parameters.
    fn parameters<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Parameter<'py>>> {
        let policy = self.policy();
        let parameters = detached(py, move || policy.parameters())?;
        let one = |(name, tensor): (String, tch::Tensor)| {
            let dtype = match tensor.kind() {
                Kind::Float => "<f4",
                Kind::Int64 => "<i8",
                other => return Err(broken(&format!("a parameter of {other:?}"))),
            };
            let tensor = tensor.contiguous();
            let len = tensor.numel() * tensor.kind().elt_size_in_bytes();
            let mut bytes = vec![0u8; len];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            Ok((name, dtype, tensor.size(), PyBytes::new(py, &bytes)))
        };
        parameters.into_iter().map(one).collect()
    }
}
