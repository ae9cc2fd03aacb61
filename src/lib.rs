//! Soft Actor-Critic and its relatives, in Rust on libtorch.
//!
//! # Quickstart
//!
//! Train on a task, load the policy, and act in the task's own units:
//!
//! ```
//! use sac::prelude::*;
//!
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//! // One step per episode, reward −(a − 0.3)²: the best action is 0.3.
//! let mut settings = Settings::new(Algo::Sac, "ProbeTarget-v0");
//! settings.train.total_env_steps = 1_500;
//! settings.train.warmup_env_steps = 100;
//! settings.agent.body = BodySpec::mlp(&[32, 32]);
//! settings.replay.capacity = 10_000;
//! # settings.train.threads = Threads::Count(1);
//!
//! let run = train(&settings, &Registry::builtin())?;
//! let mut policy = Policy::load(&run.run_dir)?;
//! let action = policy.act(&[1.0])?;
//! assert!((action[0] - 0.3).abs() < 0.2, "{action:?}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | Module | Contents |
//! |---|---|
//! | [`config`] | [`Settings`], files and assignments over them, and the checked [`Config`](config::Config) |
//! | [`run`] | [`train`], [`resume`], and the folder of a run |
//! | [`Registry`] | the environments, and the parts of agents, that a configuration can name |
//! | [`Policy`] | a trained policy, to act with and to score |
//! | [`replicates`] | several seeds at the same time |
//! | [`cli`] | the command line on a registry of your own |
//! | [`assemble`] | from a configuration to trainer, agent and environments |
//! | [`envs`] | environments; knows nothing of learning |
//! | [`agents`] | learners; names no environment |

pub mod assemble;
pub mod cli;
pub mod config;
pub mod error;
mod libtorch_version;
mod policy;
mod registry;
pub mod replicates;
pub mod run;
mod shell;
mod spaces;
mod stop;
pub mod threads;

pub use config::{Algo, Settings, configure};
pub use error::{Error, Result};
pub use policy::{EvaluateOptions, Policy};
pub use registry::{Catalog, Registry};
pub use run::{Session, Summary, resume, train};
pub use sac_agents as agents;
pub use sac_envs as envs;
pub use spaces::Spaces;
pub use stop::Stop;

/// What most programs need.
pub mod prelude {
    pub use sac_agents::{ActMode, EnvSteps, Evaluation, Every, UpdateRatio, nn::BodySpec};
    pub use sac_envs::{Dynamics, Env, EnvEntry, EnvError, NumpyRng, Outcome, Space, Status, Transition, check_env};

    pub use crate::{
        config::{Algo, DeviceChoice, EnvSettings, Settings, Threads, TrainSettings},
        policy::{EvaluateOptions, Policy},
        registry::{Catalog, Registry},
        run::{RunFolder, Session, Summary, Which, resume, train, train_into},
        stop::Stop,
    };
}
