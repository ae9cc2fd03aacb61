//! A run that is to be trained: [`Planned`].

use sac_cli::args::Overrides;
use serde::{Deserialize, Serialize};

use crate::{
    cli::{config, overrides},
    config::Config,
    error::Result,
    registry::Registry,
};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Below the folder of all of them.
    pub folder: String,
    /// What tells it from others that train the same environment.
    pub label: String,
    pub env: String,
    pub algo: String,
    pub env_steps: u64,
    pub seed: u64,
    /// An experiment file, or `none`, as `--config` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Settings, as `--set` takes them.
    pub set: Vec<String>,
}

impl Planned {
    /// Whether another run differs from this one in its seed at most.
    pub fn is_replicate_of(&self, other: &Planned) -> bool {
        (&self.env, &self.algo, self.env_steps) == (&other.env, &other.algo, other.env_steps)
            && (&self.config, &self.set) == (&other.config, &other.set)
    }

    /// Its configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn configured(&self, threads: u64, registry: &Registry) -> Result<Config> {
        let config = overrides::resolve(&self.overrides(threads), registry)?;
        // What the agent cannot serve shows when it is built.
        config::agent(&config, registry)?;
        Ok(config)
    }

    fn overrides(&self, threads: u64) -> Overrides {
        Overrides {
            env: Some(self.env.clone()),
            algo: Some(self.algo.clone()),
            config: self.config.as_ref().map(Into::into),
            sets: self.set.clone(),
            steps: Some(self.env_steps),
            seed: Some(self.seed),
            threads: Some(threads),
            ..Overrides::default()
        }
    }

    /// The arguments of `sac train` that begin it.
    pub fn arguments(&self) -> Vec<String> {
        let (steps, seed) = (self.env_steps.to_string(), self.seed.to_string());
        let mut arguments = vec![
            "--env", &self.env, "--algo", &self.algo, "--steps", &steps, "--seed", &seed,
        ];
        arguments.extend(self.config.iter().flat_map(|config| ["--config", config]));
        arguments.extend(self.set.iter().flat_map(|setting| ["--set", setting]));
        arguments.into_iter().map(str::to_string).collect()
    }
}
