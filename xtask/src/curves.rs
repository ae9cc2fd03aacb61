//! `cargo xtask curves`: the long learning runs whose results are committed, as data with a picture.
//!
//! An experiment is a file in `configs/experiments`: groups of runs that differ in their seed only, and the conditions
//! under which the trained policies are scored. Its results are `docs/curves/<name>.json`, one run a line, and what is made
//! from that file. [`campaign`] runs those that take days.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use sac_report::experiment::Experiment;

use crate::launch::COMPLETE;
use crate::setup;
use crate::workspace::Workspace;

pub mod campaign;
mod cores;
mod data;
mod experiment;
mod list;
mod order;
mod work;

use experiment::{Run, read};
use work::{Places, change, is_complete, is_recorded, work};

/// What `cargo xtask curves` is to do.
#[derive(Default)]
pub struct Options {
    /// The experiment to run.
    pub only: Option<String>,
    /// All experiments, one after the other.
    pub all: bool,
    /// Trains nothing: records the runs that are complete, and draws what is recorded.
    pub recorded: bool,
}

/// Runs an experiment, or lists all of them.
///
/// An experiment trains every group with every seed, on one thread each and as many at once as there are cores, scores
/// the policies on 20 episodes, and writes data and pictures into `docs/curves`. Runs that are recorded there are not
/// repeated; interrupted ones go on. Campaigns are run by [`campaign`] alone.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let all = read(&workspace.root().join("configs/experiments"))?;
    let curves = workspace.root().join("docs/curves");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if options.only.is_none() && !options.all && !options.recorded {
        print!("{}", list::list(&all, &curves, cores)?);
        return Ok(ExitCode::SUCCESS);
    }
    let is_chosen = |experiment: &&Experiment| match &options.only {
        Some(name) => *name == experiment.name,
        None => !experiment.is_campaign(),
    };
    let chosen: Vec<&Experiment> = all.iter().filter(is_chosen).collect();
    match chosen.as_slice() {
        [] => bail!("no such experiment; `cargo xtask curves` lists them"),
        [one] if one.is_campaign() => bail!("{0} takes days: `cargo xtask campaign {0}` runs it", one.name),
        _ => {}
    }
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    let release = build(workspace)?;
    let places = Places {
        sac: release,
        programs: None,
        runs: workspace.target()?.join("curves"),
        curves,
        children: std::sync::Mutex::default(),
    };
    let mut runs = Vec::new();
    for run in order::by_seed(&chosen) {
        if !is_recorded(&places, &run)? && (is_complete(&places, &run) || !options.recorded) {
            runs.push(run);
        }
    }
    let worked = work(&places, &runs, |running| running < cores);
    for experiment in chosen {
        say_what_is_missing(&places, experiment)?;
    }
    let code = results(workspace, &[])?;
    worked.map(|()| code)
}

/// Builds the complete program for speed.
fn build(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bin", COMPLETE]);
    ensure!(
        build.status().context("cannot run cargo")?.success(),
        "the build failed"
    );
    Ok(workspace.target()?.join("release").join(COMPLETE))
}

/// Brings a data file into line with its experiment, and says which runs it lacks.
fn say_what_is_missing(places: &Places, experiment: &Experiment) -> Result<()> {
    let data = change(places, experiment, |_| {})?;
    for group in &experiment.groups {
        let is_recorded = |seed: &&u64| {
            let run = Run {
                experiment,
                group,
                seed: **seed,
            };
            data.runs.iter().any(|record| run.is_told_by(record))
        };
        let (recorded, asked) = (
            experiment.seeds.iter().filter(is_recorded).count(),
            experiment.seeds.len(),
        );
        if recorded < asked {
            let (name, label) = (&experiment.name, &group.label);
            say!("{name}: {recorded} of {asked} runs of {label} are recorded");
        }
    }
    Ok(())
}

/// `cargo xtask results`: writes the tables and pictures in the pages anew from the data files.
pub fn results(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode> {
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "sac-report",
        "--example",
        "results",
        "--",
    ]);
    let status = command.args(arguments).status().context("cannot run cargo")?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
