//! Environments of this package in Python: [`NativeEnv`], [`NativeVecEnv`].

use std::sync::{Mutex, PoisonError};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};
use sac::{
    Error, Registry,
    envs::{Env, EnvError, Serial, Status, Threaded, VecEnv, render::FrameSize},
};
use toml::Table;

use crate::{
    convert,
    errors::{broken, config_exception, detached},
    messages,
    rows::Rows,
};

/// What a lock holds that nobody else has: it only says that threads take turns, which PyO3 sees to.
fn own<T: ?Sized>(lock: &mut Mutex<T>) -> &mut T {
    lock.get_mut().unwrap_or_else(PoisonError::into_inner)
}

fn table(options: &Bound<'_, PyDict>) -> PyResult<Table> {
    convert::options(options)?.map_err(|issues| config_exception(options.py(), issues))
}

/// The manual page of an environment.
#[pyfunction]
pub fn page(py: Python<'_>, id: &str, options: &Bound<'_, PyDict>) -> PyResult<String> {
    let options = table(options)?;
    detached(py, || Ok(Registry::builtin().get(id)?.page(&options)?))
}

/// An environment, which reads actions from one array and writes observations to another.
#[pyclass]
pub struct NativeEnv {
    env: Mutex<Box<dyn Env>>,
    rows: Option<(Rows<f32>, Rows<f32>)>,
}

#[pymethods]
impl NativeEnv {
    #[new]
    fn new(py: Python<'_>, id: &str, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        messages::install();
        let options = table(options)?;
        let env = detached(py, || Ok(Registry::builtin().make(id, &options)?))?;
        Ok(NativeEnv {
            env: Mutex::new(env),
            rows: None,
        })
    }

    /// Observation and action space.
    fn spaces<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        Ok((
            convert::space(py, own(&mut self.env).observation_space())?,
            convert::space(py, own(&mut self.env).action_space())?,
        ))
    }

    /// Where actions are read from, and observations are written to.
    fn bind(&mut self, action: &Bound<'_, PyAny>, obs: &Bound<'_, PyAny>) -> PyResult<()> {
        let action = Rows::of(action, own(&mut self.env).action_space().len())?;
        self.rows = Some((action, Rows::of(obs, own(&mut self.env).observation_space().len())?));
        Ok(())
    }

    fn reset(&mut self, py: Python<'_>, seed: Option<u64>) -> PyResult<()> {
        let NativeEnv { env, rows } = self;
        let env = own(env);
        let (_, obs) = rows.as_mut().ok_or_else(|| broken("no rows"))?;
        detached(py, || Ok(env.reset(seed, obs.get())?))
    }

    /// Reward, terminated, truncated.
    fn step(&mut self, py: Python<'_>) -> PyResult<(f64, bool, bool)> {
        let NativeEnv { env, rows } = self;
        let env = own(env);
        let (action, obs) = rows.as_mut().ok_or_else(|| broken("no rows"))?;
        let outcome = detached(py, || Ok(env.step(action.get(), obs.get())?))?;
        Ok((outcome.reward, outcome.terminated, outcome.truncated))
    }

    /// A picture as `[height, width, 3]` bytes.
    fn render<'py>(&mut self, py: Python<'py>, width: u32, height: u32) -> PyResult<Bound<'py, PyBytes>> {
        let env = own(&mut self.env);
        let frame = detached(py, move || Ok(env.render(FrameSize { width, height })?))?;
        Ok(PyBytes::new(py, &frame.rgb))
    }

    fn snapshot<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let env = own(&mut self.env);
        let bytes = detached(py, move || Ok(env.snapshot()?))?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn restore(&mut self, py: Python<'_>, snapshot: &[u8]) -> PyResult<()> {
        let env = own(&mut self.env);
        detached(py, || Ok(env.restore(snapshot)?))
    }

    fn __repr__(&mut self) -> String {
        own(&mut self.env).describe()
    }
}

/// Environments that are stepped together. Ended episodes begin anew at once.
#[pyclass]
pub struct NativeVecEnv {
    envs: Mutex<Box<dyn VecEnv>>,
    rows: Option<VecRows>,
}

struct VecRows {
    actions: Rows<f32>,
    obs: Rows<f32>,
    next_obs: Rows<f32>,
    rewards: Rows<f64>,
    terminated: Rows<u8>,
    truncated: Rows<u8>,
}

#[pymethods]
impl NativeVecEnv {
    #[new]
    fn new(py: Python<'_>, id: &str, num_envs: usize, threads: usize, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        messages::install();
        let options = table(options)?;
        let envs = detached(py, || {
            let registry = Registry::builtin();
            let make = |_| registry.make(id, &options);
            let envs = (0..num_envs).map(make).collect::<Result<Vec<_>, EnvError>>()?;
            Ok::<Box<dyn VecEnv>, Error>(match threads {
                0 | 1 => Box::new(Serial::new(envs)?),
                _ => Box::new(Threaded::new(envs, threads)?),
            })
        })?;
        Ok(NativeVecEnv {
            envs: Mutex::new(envs),
            rows: None,
        })
    }

    /// Observation and action space of one environment.
    fn spaces<'py>(&mut self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
        Ok((
            convert::space(py, own(&mut self.envs).observation_space())?,
            convert::space(py, own(&mut self.envs).action_space())?,
        ))
    }

    /// The arrays: actions, observations, observations at the end of episodes, rewards, and the two kinds of ends.
    fn bind(
        &mut self,
        actions: &Bound<'_, PyAny>,
        obs: &Bound<'_, PyAny>,
        next_obs: &Bound<'_, PyAny>,
        rewards: &Bound<'_, PyAny>,
        terminated: &Bound<'_, PyAny>,
        truncated: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let count = own(&mut self.envs).len();
        let obs_len = count * own(&mut self.envs).observation_space().len();
        self.rows = Some(VecRows {
            actions: Rows::of(actions, count * own(&mut self.envs).action_space().len())?,
            obs: Rows::of(obs, obs_len)?,
            next_obs: Rows::of(next_obs, obs_len)?,
            rewards: Rows::of(rewards, count)?,
            terminated: Rows::of(terminated, count)?,
            truncated: Rows::of(truncated, count)?,
        });
        Ok(())
    }

    fn reset(&mut self, py: Python<'_>, seeds: Vec<u64>) -> PyResult<()> {
        let NativeVecEnv { envs, rows } = self;
        let envs = own(envs);
        let rows = rows.as_mut().ok_or_else(|| broken("no rows"))?;
        detached(py, || {
            let step = envs.reset(&seeds)?;
            rows.obs.get().copy_from_slice(&step.obs);
            Ok(())
        })
    }

    /// Returns whether an episode ended.
    fn step(&mut self, py: Python<'_>) -> PyResult<bool> {
        let NativeVecEnv { envs, rows } = self;
        let envs = own(envs);
        let rows = rows.as_mut().ok_or_else(|| broken("no rows"))?;
        detached(py, || {
            let step = envs.step(0..envs.len(), rows.actions.get())?;
            rows.obs.get().copy_from_slice(&step.obs);
            rows.rewards.get().copy_from_slice(&step.reward);
            let ends = rows.terminated.get().iter_mut().zip(rows.truncated.get());
            for ((terminated, truncated), status) in ends.zip(&step.status) {
                *terminated = u8::from(*status == Status::Terminated);
                *truncated = u8::from(*status == Status::Truncated);
            }
            let has_ended = !step.finished.is_empty();
            if has_ended {
                rows.next_obs.get().copy_from_slice(&step.next_obs);
            }
            Ok(has_ended)
        })
    }

    fn __repr__(&mut self) -> String {
        own(&mut self.envs).describe()
    }
}
