//! Soft Actor-Critic and its relatives, in Rust on libtorch.
//!
//! # Quickstart
//!
//! Build an agent, train it on a task whose answer is known, and act with it:
//!
//! ```
//! use sac::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One step per episode, reward −(a − 0.3)²: the best action is 0.3.
//! let settings = [
//!     "train.total_env_steps=600",
//!     "train.warmup_env_steps=100",
//!     "agent.policy.optimizer.learning_rate=3e-3",
//!     "agent.critic.optimizer.learning_rate=3e-3",
//!     "agent.body.hidden=[32, 32]",
//!     "agent.temperature={kind=\"fixed\", alpha=0.01}",
//!     "replay.capacity=10_000",
//! ];
//! let registry = Registry::builtin();
//! let config = sac::configure(&registry, "ProbeTarget-v0", "sac", &settings)?;
//! let mut trainer = sac::assemble::trainer(&config, &registry, Logger::default(), None)?;
//! trainer.run(&AtomicBool::new(false))?;
//!
//! let mut agent = trainer.into_agent();
//! let mut action = [0.0f32];
//! agent.act(&[1.0], ActMode::Evaluate, &mut Stream::derive(0, "act", 0), &mut action);
//! assert!((action[0] - 0.3).abs() < 0.1, "{action:?}");
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! [`envs`] holds environments and knows nothing of learning; [`agents`] holds learners and names no environment. This
//! package puts the two together: [`config`] reads what is wanted, [`assemble`] builds it, [`run`] keeps it in a
//! folder, [`replicates`] does so for many seeds at once. The command line is a thin layer over these.

pub mod assemble;
pub mod config;
pub mod error;
pub mod replicates;
pub mod run;
pub mod threads;

pub use error::{Error, Result};
pub use sac_agents as agents;
pub use sac_envs as envs;

use config::{Config, Layers, Origin};
use envs::Registry;

/// What most programs need.
pub mod prelude {
    pub use std::sync::atomic::AtomicBool;

    pub use sac_agents::{
        ActMode, Agent, AgentSpec, Batch, Ending, EnvSteps, Evaluation, Every, GradSteps, Parts, Plan, Replay,
        ReplaySpec, SoftActorCritic, Trainer, UpdateRatio, evaluate,
        log::{Logger, Row, Sink},
        noise::Stream,
    };
    pub use sac_envs::{
        Dynamics, Env, EnvEntry, EnvError, NumpyRng, Outcome, Registry, Simulated, Space, Status, Transition, VecEnv,
        check_env,
    };

    pub use crate::{
        config::{Config, Layers},
        run::{RunFolder, Summary},
    };
}

/// The configuration of `algo` on `env`, an environment of `registry`, with `settings` over it: `key=value`, as the
/// command line takes them behind `--set`.
///
/// # Errors
/// [`Error::Usage`] for an unknown preset, [`Error::Env`] for an unknown environment, [`Error::Config`] with all other
/// problems at once.
pub fn configure(registry: &Registry, env: &str, algo: &str, settings: &[&str]) -> Result<Config> {
    let mut layers = layers(env, algo)?;
    settings.iter().try_for_each(|setting| layers.set_text(setting))?;
    Ok(Config::resolve(&layers, registry)?)
}

/// The preset `algo`, and over it the experiment that ships for `env`, if there is one.
///
/// # Errors
/// [`Error::Usage`] for an unknown preset, with the nearest known one.
pub fn layers(env: &str, algo: &str) -> Result<Layers> {
    let mut layers = preset_layers(algo)?;
    if let Some(shipped) = config::shipped(env, algo) {
        layers.add_toml(Origin::Shipped(shipped.path.to_string()), shipped.toml)?;
    }
    layers.set(Origin::Flag("--env"), "env.id", env);
    Ok(layers)
}

/// The preset `algo` alone.
///
/// # Errors
/// [`Error::Usage`] for an unknown preset, with the nearest known one.
pub fn preset_layers(algo: &str) -> Result<Layers> {
    let preset = agents::presets::by_name(algo).ok_or_else(|| {
        let names = agents::presets::ALL.iter().map(|preset| preset.name);
        let near = config::nearest(algo, names)
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        Error::Usage(format!("unknown algorithm `{algo}`{near} (`sac algos` lists them)"))
    })?;
    let mut layers = Layers::default();
    layers.add_toml(Origin::Preset(preset.name.to_string()), preset.toml)?;
    layers.set(Origin::Flag("--algo"), "algo", preset.name);
    Ok(layers)
}
