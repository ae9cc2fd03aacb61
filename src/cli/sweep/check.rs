//! Every run of a sweep before anything starts: whether it can be configured, and what it will take. [`check`], [`Estimate`].

use std::path::Path;

use super::file::{Planned, Sweep, refused};
use crate::{
    assemble,
    cli::{args::Overrides, config, overrides},
    config::Config,
    error::Result,
    registry::Registry,
    threads,
};

/// Runs that differ in their seeds alone, with their configuration.
pub struct Group<'a> {
    pub first: &'a Planned,
    pub count: u64,
    pub config: Config,
}

/// Configures all runs.
///
/// # Errors
/// What is wrong with any of them, all at once.
pub fn check<'a>(path: &Path, sweep: &'a Sweep, registry: &Registry) -> Result<Vec<Group<'a>>> {
    let (mut groups, mut problems): (Vec<Group>, _) = (Vec::new(), Vec::new());
    // The first seed stands for all: runs with it come first, and each group has it once.
    let seed = sweep.runs.first().map(|run| run.seed);
    for run in sweep.runs.iter().filter(|run| Some(run.seed) == seed) {
        match configured(run, sweep.threads, registry) {
            Ok(config) => groups.push(Group {
                first: run,
                count: sweep.runs.iter().filter(|other| run.is_replicate_of(other)).count() as u64,
                config,
            }),
            Err(error) => problems.push(format!(
                "{} on {}: {}",
                run.label,
                run.env,
                error.to_string().replace('\n', "\n  ")
            )),
        }
    }
    match problems.is_empty() {
        true => Ok(groups),
        false => Err(refused(path, &problems)),
    }
}

fn configured(run: &Planned, threads: u64, registry: &Registry) -> Result<Config> {
    let config = overrides::resolve(&arguments(run, threads), registry)?;
    // What the agent cannot serve shows when it is built.
    config::agent(&config, registry)?;
    Ok(config)
}

fn arguments(run: &Planned, threads: u64) -> Overrides {
    Overrides {
        env: Some(run.env.clone()),
        algo: Some(run.algo.clone()),
        config: run.config.as_ref().map(Into::into),
        sets: run.set.clone(),
        steps: Some(run.env_steps),
        seed: Some(run.seed),
        threads: Some(threads),
        ..Overrides::default()
    }
}

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
