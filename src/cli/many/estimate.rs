//! What a run will take: [`Estimate`].

use crate::{assemble, cli::config, config::Config, error::Result, registry::Registry, threads};

/// What a run takes, roughly.
pub struct Estimate {
    /// Of its updates alone, measured on this machine as it is now.
    pub seconds: f64,
    /// Of its newest checkpoint, which holds the replay, and the policies of the others.
    pub bytes: u64,
}

impl Estimate {
    /// Of each run of a group.
    ///
    /// # Errors
    /// When the agent cannot be made.
    pub fn of(config: &Config, registry: &Registry) -> Result<Estimate> {
        let train = &config.train;
        let learning = train.total_env_steps.saturating_sub(train.warmup_env_steps) as f64;
        let updates = learning * train.updates_per_env_step.0;
        let rate = threads::updates_per_second(config, registry)?;
        let envs = assemble::envs(config, registry, 1, 1)?;
        let filled = train.total_env_steps.min(config.replay.capacity) as f64 / config.replay.capacity as f64;
        let replay = assemble::replay_bytes(config, envs.as_ref()) as f64 * filled;
        let parameters: i64 = config::agent(config, registry)?
            .costs()
            .iter()
            .map(|cost| cost.parameters)
            .sum();
        /// A parameter, its two moments, and its target where it has one.
        const BYTES_PER_PARAMETER: f64 = 16.0;
        let networks = parameters as f64 * BYTES_PER_PARAMETER * (config.checkpoint.keep as f64 + 1.0);
        Ok(Estimate {
            seconds: updates / rate,
            bytes: (replay + networks) as u64,
        })
    }
}
