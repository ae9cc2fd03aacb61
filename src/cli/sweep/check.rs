//! Every run of a sweep before anything starts: whether it can be configured ([`check`]).

use std::path::Path;

use sac_report::toml_file::refused;

use super::file::Sweep;
use crate::{cli::many::planned::Planned, config::Config, error::Result, registry::Registry};

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
        match run.configured(sweep.threads, registry) {
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
        false => Err(refused(path, problems).into()),
    }
}
