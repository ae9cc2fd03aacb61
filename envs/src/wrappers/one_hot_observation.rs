//! [`OneHotObservation`]: discrete observations as vectors for an agent.

use crate::env::check_spaces;
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, Outcome, Space, Warning, snapshot};

/// Writes a discrete observation as a one-hot vector: 1 at the index, 0 elsewhere. Those of a [`Space::MultiDiscrete`]
/// are concatenated. Observations in a box are not changed.
pub struct OneHotObservation<E> {
    env: E,
    space: Space,
    /// The observation in the task's own units.
    indices: Vec<f32>,
}

impl<E: Env> OneHotObservation<E> {
    /// Encodes the observations of `env`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for more than 65,536 numbers, and for a space with a flaw.
    pub fn new(env: E) -> Result<Self, EnvError> {
        check_spaces(&env)?;
        let observation = env.observation_space();
        let Some(space) = agent_observation_space(observation) else {
            return Err(EnvError::Unsupported {
                env: env.describe(),
                problem: format!(
                    "observations in {observation} cannot be one-hot: there are more than {MAX_LEN} choices"
                ),
            });
        };
        Ok(OneHotObservation {
            indices: vec![0.0; observation.len()],
            space,
            env,
        })
    }

    fn encode(&self, obs: &mut [f32]) -> Result<(), EnvError> {
        to_agent_units(self.env.observation_space(), &self.indices, obs, || self.env.describe())
    }
}

/// The most numbers of a one-hot observation.
const MAX_LEN: usize = 1 << 16;

/// The space of the observations that an agent gets from a task with the observation space `space`, as
/// [`OneHotObservation`] writes them; `None` for a discrete space with more than 65,536 choices.
pub fn agent_observation_space(space: &Space) -> Option<Space> {
    let positions = match space {
        Space::Box { .. } => return Some(space.clone()),
        Space::Discrete { n } => std::slice::from_ref(n),
        Space::MultiDiscrete { n } => n,
    };
    let len = positions.iter().try_fold(0_usize, |len, n| len.checked_add(*n))?;
    (len <= MAX_LEN).then(|| Space::boxed(len, 0.0, 1.0))
}

/// Converts an observation in the task's own units to one for an agent, as [`OneHotObservation`] does. Observations in a
/// box are copied. `space` is the task's observation space, `out` has the length of [`agent_observation_space`], and
/// `env` names the environment for the error.
///
/// # Errors
/// [`EnvError::Failed`] for a discrete observation that is not in `space`.
///
/// # Panics
/// When a slice does not have the length of its space.
pub fn to_agent_units(space: &Space, obs: &[f32], out: &mut [f32], env: impl Fn() -> String) -> Result<(), EnvError> {
    let positions = match space {
        Space::Box { .. } => {
            out.copy_from_slice(obs);
            return Ok(());
        }
        Space::Discrete { n } => std::slice::from_ref(n),
        Space::MultiDiscrete { n } => n,
    };
    if !space.contains(obs) {
        return Err(EnvError::Failed {
            env: env(),
            problem: format!("observation {obs:?} is outside {space}"),
        });
    }
    out.fill(0.0);
    let mut start = 0;
    for (n, index) in positions.iter().zip(obs) {
        out[start + *index as usize] = 1.0;
        start += n;
    }
    Ok(())
}

impl<E: Env> Env for OneHotObservation<E> {
    fn describe(&self) -> String {
        format!("OneHotObservation > {}", self.env.describe())
    }

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.space.check_len("OneHotObservation", "observation", obs.len())?;
        self.env.reset(seed, &mut self.indices)?;
        self.encode(obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.space.check_len("OneHotObservation", "observation", obs.len())?;
        let outcome = self.env.step(action, &mut self.indices)?;
        self.encode(obs)?;
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode("OneHotObservation", &self.env.snapshot()?)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let inner: Vec<u8> = snapshot::decode("OneHotObservation", bytes)?;
        self.env.restore(&inner)
    }

    fn warnings(&self) -> Vec<Warning> {
        self.env.warnings()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.env.render(size)
    }
}
