//! [`WrapperSpec`]: wrappers as data.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{ActionDelay, ActionNoise, ActionRepeat, FrameStack, ObservationNoise, Pixels, RewardScale};
use crate::render::FrameSize;
use crate::{Env, EnvError};

/// One wrapper around a task. In a configuration they stand in the order in which they are applied, innermost first:
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
/// What is not given has the value in [`WrapperSpec::defaults`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WrapperSpec {
    /// See [`ObservationNoise`].
    ObservationNoise {
        /// In the observation's own units.
        std: f64,
    },
    /// See [`ActionNoise`].
    ActionNoise {
        /// In parts of half the range of each coordinate.
        std: f64,
    },
    /// See [`RewardScale`].
    RewardScale {
        /// Rewards are multiplied by it.
        factor: f64,
    },
    /// See [`ActionDelay`].
    ActionDelay {
        /// Control steps from choice to effect.
        steps: NonZero<usize>,
    },
    /// See [`ActionRepeat`].
    ActionRepeat {
        /// Task steps per action.
        times: NonZero<u64>,
    },
    /// See [`FrameStack`].
    FrameStack {
        /// Observations shown at once.
        frames: NonZero<usize>,
    },
    /// See [`Pixels`].
    Pixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Brightness instead of colours.
        grey: bool,
    },
}

impl WrapperSpec {
    /// One of each kind, with the values that parameters have unless given.
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

    /// This wrapper around `env`. `number` tells its random stream from those of other wrappers: its place in the list,
    /// from 0.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] when the environment or a parameter does not suit.
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
