//! `sac runs`: [`run`], and the runs that its arguments choose: [`chosen`].

mod diff;
mod select;

use std::path::Path;

use sac_report::{
    listing::{self, Listed},
    settings,
};

use crate::{
    args::RunsArgs,
    error::Result,
    exit_code::DONE,
    output::{print, print_json},
    table::{bytes, table},
};

/// The runs that the arguments choose.
///
/// # Errors
/// When a folder cannot be read, or no run has a key of a condition.
pub fn chosen(args: &RunsArgs) -> Result<Vec<Listed>> {
    select::chosen(listing::list(&args.path)?, &args.conditions)
}

/// Lists runs, or says in what two of them differ. `--prune` is not done here: what a checkpoint needs is known to the
/// packages with libtorch.
///
/// # Errors
/// As [`chosen`]; when one of two runs cannot be read.
pub fn run(args: &RunsArgs) -> Result<u8> {
    if let Some([a, b]) = args.diff.as_deref() {
        return diff::run(a, b, args.json).map(|()| DONE);
    }
    let mut runs = chosen(args)?;
    if let Some(key) = &args.sort {
        select::sort(&mut runs, key)?;
        if args.reverse {
            runs.reverse();
        }
    }
    match args.json {
        true => print_json(&runs)?,
        false => print(&shown(&args.path, &runs))?,
    }
    Ok(DONE)
}

/// The runs as a table, and how many there are in each state.
fn shown(path: &Path, runs: &[Listed]) -> String {
    let differences = differences(runs);
    let rows = runs
        .iter()
        .zip(differences)
        .map(|(run, differing)| row(path, run, differing));
    let rows: Vec<Vec<String>> = rows.collect();
    let names = [
        "env", "algo", "seed", "steps", "last", "best", "size", "state", "settings", "run",
    ];
    let right = ["seed", "steps", "last", "best", "size"];
    let mut text = table(&names, &right, &rows);
    let mut states: Vec<(&str, usize)> = Vec::new();
    for run in runs {
        match states.iter_mut().find(|(name, _)| *name == run.state.name()) {
            Some((_, count)) => *count += 1,
            None => states.push((run.state.name(), 1)),
        }
    }
    let states: Vec<String> = states.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let size = bytes(runs.iter().map(|run| run.bytes).sum());
    text += &format!("\n{} runs: {}; {size}\n", runs.len(), states.join(", "));
    text
}

fn row(path: &Path, run: &Listed, differing: String) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.1}"));
    let short = run.path.strip_prefix(path).unwrap_or(&run.path);
    let short = if short.as_os_str().is_empty() { &run.path } else { short };
    vec![
        run.env.clone(),
        run.algo.clone(),
        run.seed.map_or("-".to_string(), |seed| seed.to_string()),
        format!("{}/{}", run.env_steps, run.total_env_steps),
        number(run.last),
        number(run.best),
        bytes(run.bytes),
        run.state.to_string().lines().next().unwrap_or_default().to_string(),
        differing,
        short.display().to_string(),
    ]
}

/// The settings in which each run differs from others of its task and algorithm.
fn differences(runs: &[Listed]) -> Vec<String> {
    let group = |run: &Listed| (run.env.clone(), run.algo.clone());
    let runs: Vec<_> = runs.iter().map(|run| (group(run), &run.settings)).collect();
    settings::distinctions(&runs)
        .into_iter()
        .map(|pairs| pairs.join(" "))
        .collect()
}
