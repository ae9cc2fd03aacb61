//! A search before anything starts: whether its settings can be configured, and where its trials pause ([`check`]).

use std::path::Path;

use sac_agents::Every;
use sac_report::toml_file::refused;

use super::{file::Search, halving::rungs};
use crate::{config::Config, error::Result, registry::Registry};

/// A search that can be started.
pub struct Checked {
    /// Of the middle of all ranges.
    pub config: Config,
    /// Env steps at which trials pause; the last are the end.
    pub rungs: Vec<u64>,
}

/// Configures trials in the middle and at the ends of all ranges.
///
/// # Errors
/// What is wrong with any of them, all at once.
pub fn check(path: &Path, search: &Search, registry: &Registry) -> Result<Checked> {
    let (mut first, mut problems) = (None, Vec::<String>::new());
    for probe in search.space.probes() {
        let run = search.run(0, &probe, search.seeds[0]);
        match run.configured(search.threads, registry) {
            Ok(config) => first = first.or(Some(config)),
            Err(error) => {
                let problem = error.to_string().replace('\n', "\n  ");
                // What is wrong with one setting is wrong in every trial that has it.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
    }
    let Some(config) = first.filter(|_| problems.is_empty()) else {
        return Err(refused(path, problems).into());
    };
    let Every::EnvSteps(every) = config.eval.every else {
        let problem = "eval.every = \"never\": trials are compared by their evaluations";
        return Err(refused(path, vec![problem.to_string()]).into());
    };
    let rungs = rungs(search.env_steps, search.prune, every);
    let warmup = config.train.warmup_env_steps;
    if rungs[0] <= warmup {
        let to_raise = if rungs.len() > 1 {
            "prune.min_env_steps"
        } else {
            "env_steps"
        };
        let problem = format!(
            "trials would be compared after {} env steps, but learn nothing in the first {warmup} \
             (train.warmup_env_steps); raise {to_raise}",
            rungs[0]
        );
        return Err(refused(path, vec![problem]).into());
    }
    Ok(Checked { config, rungs })
}
