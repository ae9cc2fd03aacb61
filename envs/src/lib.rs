//! Control tasks for reinforcement learning, in plain Rust.
//!
//! The same seed and the same actions give Gymnasium's trajectories, bit for bit; stepping allocates nothing; every
//! environment can be written down in the middle of an episode and go on elsewhere as if nothing had happened.
//!
//! ```
//! use sac_envs::{Env, Registry};
//!
//! let mut env = Registry::builtin().make("Pendulum-v1", &toml::Table::new())?;
//! let mut obs = vec![0.0; env.observation_space().len()];
//! env.reset(Some(0), &mut obs)?;
//! let outcome = env.step(&[1.5], &mut obs)?; // 1.5 N m
//! println!("reward {}, then {obs:?}", outcome.reward);
//! # Ok::<(), sac_envs::EnvError>(())
//! ```
//!
//! # Reading order
//!
//! 1. [`Env`], [`Outcome`], [`Status`]: the contract. [`Space`] says what goes in and out, [`EnvError`] what can fail.
//! 2. [`Dynamics`]: how to write a task, and [`Simulated`], which makes an [`Env`] of it. [`classic`], [`entity`] and [`probe`]
//!    have examples. With the feature `mujoco`, `mujoco::Task` is the same for a MuJoCo model.
//! 3. Wrappers: [`Checked`], [`TimeLimit`], [`RescaleAction`], [`EpisodeStats`], and those of a [`WrapperSpec`].
//! 4. [`Registry`]: ids, options and [`Manual`] pages.
//! 5. [`VecEnv`]: many copies at once, on one thread ([`Serial`]) or several ([`Threaded`]).
//! 6. [`NumpyRng`]: NumPy's random numbers.
//! 7. [`render`]: pictures, animations.
//! 8. [`check_env`]: the suite that every environment passes, for yours as well.
//!
//! # Shapes and units
//!
//! `N` environments, `O` numbers per observation, `A` numbers per action; `[N, O]` is row-major. Observations and
//! actions are `f32`, rewards `f64` and raw. Quantities carry their unit in the name: `torque_nm`, `theta_rad`,
//! `dt_s`. An action is in the task's own units below [`RescaleAction`] and in [-1, 1] above it. A *step* is a control
//! step; an *episode* counts from 1, its steps too, and step 0 is the reset.

mod check;
pub mod classic;
mod dynamics;
pub mod entity;
mod env;
mod error;
mod manual;
pub mod manuals {
    //! The manual pages of all built-in tasks, as `sac envs ID` prints them. A test keeps them true.
    #![allow(rustdoc::broken_intra_doc_links, reason = "Box[3] is a space and no link")]
    #![doc = include_str!("../manuals.md")]
}
#[cfg(feature = "mujoco")]
pub mod mujoco;
pub mod panics;
pub mod probe;
mod registry;
pub mod render;
mod rng;
pub mod snapshot;
mod space;
mod vector;
mod wrappers;

pub use check::{CheckFailure, CheckReport, Problem, check_env};
pub use dynamics::{Dynamics, Simulated, Transition};
pub use entity::{EntityReach, EntityTag};
pub use env::{Env, Outcome, Status};
pub use error::EnvError;
pub use manual::{Manual, Row};
pub use registry::{EnvEntry, Registry};
pub use rng::NumpyRng;
pub use space::{Dtype, Space};
pub use vector::{EpisodeSummary, Serial, Threaded, VecEnv, VecStep};
pub use wrappers::{
    ActionDelay, ActionNoise, ActionRepeat, Checked, EpisodeStats, FrameStack, ObservationNoise, Pixels, RescaleAction,
    RewardScale, TimeLimit, WrapperSpec, to_task_units,
};
