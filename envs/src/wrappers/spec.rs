//! [`WrapperSpec`]: the configuration of a wrapper.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{ActionDelay, ActionNoise, ActionRepeat, FrameStack, ObservationNoise, Pixels, RewardScale};
use crate::render::FrameSize;
use crate::{Env, EnvError};

/// Configuration of a wrapper. A list of them is applied in order, the innermost first:
///
/// ```
/// # use sac_envs::Registry;
/// let options: toml::Table = r#"
///     g = 9.81
///     [[wrappers]]
///     kind = "action_noise"
///     std = 0.1
///     [[wrappers]]
///     kind = "frame_stack"
///     frames = 3
/// "#.parse()?;
/// let env = Registry::builtin().make("Pendulum-v1", &options)?;
/// assert_eq!(env.describe(), "FrameStack(3) > ActionNoise(0.1) > TimeLimit(200) > Checked > Pendulum-v1");
/// assert_eq!(env.observation_space().to_string(), "Box[9]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Missing parameters have the values in [`WrapperSpec::defaults`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WrapperSpec {
    /// See [`ObservationNoise`].
    ObservationNoise {
        /// Standard deviation, in the observation's own units.
        std: f64,
    },
    /// See [`ActionNoise`].
    ActionNoise {
        /// Standard deviation, relative to half the range of each coordinate.
        std: f64,
    },
    /// See [`RewardScale`].
    RewardScale {
        /// Factor of all rewards.
        factor: f64,
    },
    /// See [`ActionDelay`].
    ActionDelay {
        /// Delay in control steps.
        steps: NonZero<usize>,
    },
    /// See [`ActionRepeat`].
    ActionRepeat {
        /// Number of task steps per action.
        times: NonZero<u64>,
    },
    /// See [`FrameStack`].
    FrameStack {
        /// Number of observations in a stack.
        frames: NonZero<usize>,
    },
    /// See [`Pixels`].
    Pixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Whether pictures are grey instead of coloured.
        grey: bool,
    },
}

impl WrapperSpec {
    /// One wrapper of each kind, with the default values of its parameters.
    pub fn defaults() -> Vec<WrapperSpec> {
        const TWO: NonZero<u64> = NonZero::new(2).expect("2 is not 0");
        const THREE: NonZero<usize> = NonZero::new(3).expect("3 is not 0");
        vec![
            WrapperSpec::ObservationNoise { std: 0.1 },
            WrapperSpec::ActionNoise { std: 0.1 },
            WrapperSpec::RewardScale { factor: 1.0 },
            WrapperSpec::ActionDelay {
                steps: NonZero::<usize>::MIN,
            },
            WrapperSpec::ActionRepeat { times: TWO },
            WrapperSpec::FrameStack { frames: THREE },
            WrapperSpec::Pixels {
                width: 84,
                height: 84,
                grey: false,
            },
        ]
    }

    /// Puts this wrapper around `env`. `number` is its position in the list, from 0; it numbers the random stream.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for an environment that the wrapper cannot be put around, and for invalid parameters.
    pub fn apply(&self, env: Box<dyn Env>, number: u64) -> Result<Box<dyn Env>, EnvError> {
        Ok(match *self {
            WrapperSpec::ObservationNoise { std } => Box::new(ObservationNoise::new(env, std, number)?),
            WrapperSpec::ActionNoise { std } => Box::new(ActionNoise::new(env, std, number)?),
            WrapperSpec::RewardScale { factor } => Box::new(RewardScale::new(env, factor)?),
            WrapperSpec::ActionDelay { steps } => Box::new(ActionDelay::new(env, steps)?),
            WrapperSpec::ActionRepeat { times } => Box::new(ActionRepeat::new(env, times)),
            WrapperSpec::FrameStack { frames } => Box::new(FrameStack::new(env, frames)?),
            WrapperSpec::Pixels { width, height, grey } => {
                Box::new(Pixels::new(env, FrameSize { width, height }, grey)?)
            }
        })
    }
}
