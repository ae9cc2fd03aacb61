//! Control tasks for reinforcement learning, in plain Rust.
//!
//! The same seed and the same actions give Gymnasium's trajectories, bit for bit. Stepping allocates no memory. A
//! snapshot of an environment, taken in the middle of an episode, can be restored in another process and continues
//! exactly.
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
//! 1. [`Env`], [`Outcome`], [`Status`], [`Warning`]: the contract. [`Space`] describes observations and actions, [`EnvError`] the
//!    failures.
//! 2. [`Dynamics`]: the trait of a task, and [`Simulated`], which turns it into an [`Env`]. [`classic`], [`entity`],
//!    [`mod@goal`] and [`probe`] have examples. With the feature `mujoco`, `mujoco::Task` is the counterpart for a MuJoCo model.
//! 3. Wrappers: [`Checked`], [`TimeLimit`], [`RescaleAction`], [`OneHotObservation`], [`EpisodeStats`], and those of a
//!    [`WrapperSpec`].
//! 4. [`Registry`]: ids, options and [`Manual`] pages.
//! 5. [`VecEnv`]: many copies stepped together, on one thread ([`Serial`]) or several ([`Threaded`]).
//! 6. [`NumpyRng`]: NumPy's random numbers.
//! 7. [`render`]: pictures, animations.
//! 8. [`check_env`]: the conformance suite, for the environments of this crate and for yours.
//!
//! # Shapes and units
//!
//! `N` environments, `O` numbers per observation, `A` numbers per action; `[N, O]` is row-major. Observations and
//! actions are `f32`. Rewards are `f64`, as the task gives them. Names carry units: `torque_nm`, `theta_rad`, `dt_s`.
//! An action is in the task's own units below [`RescaleAction`] and in [-1, 1] or an index above it. A *step* is a control step.
//! Episodes and the steps within an episode are counted from 1; step 0 is the reset.

mod check;
pub mod classic;
mod dynamics;
pub mod entity;
mod env;
mod error;
pub mod goal;
mod manual;
pub mod manuals {
    //! The manual pages of all built-in tasks, as `sac envs ID` prints them. A test keeps this page up to date.
    #![allow(rustdoc::broken_intra_doc_links, reason = "Box[3] is a space and no link")]
    #![doc = include_str!("../manuals.md")]
}
#[cfg(feature = "mujoco")]
pub mod mujoco;
pub mod panics;
pub mod probe;
pub mod python;
mod registry;
pub mod render;
mod rng;
pub mod snapshot;
mod space;
mod vector;
mod wrappers;

pub use check::{CheckFailure, CheckReport, Problem, check_env};
pub use dynamics::{Dynamics, Simulated};
pub use entity::{EntityReach, EntityTag};
pub use env::{Env, Outcome, Status, Transition, Warning};
pub use error::EnvError;
pub use goal::{GoalBatch, GoalLayout, PointReach};
pub use manual::{Manual, Row};
pub use registry::{EnvEntry, Registry, plain_words, whole_number};
pub use rng::NumpyRng;
pub use space::{Dtype, Space};
pub use vector::{EpisodeSummary, Serial, Threaded, VecEnv, VecStep};
pub use wrappers::{
    ActionDelay, ActionNoise, ActionRepeat, Checked, EpisodeStats, FrameStack, ObservationNoise, OneHotObservation,
    Pixels, RescaleAction, RewardScale, TimeLimit, WrapperSpec, agent_observation_space, to_agent_units, to_task_units,
};
