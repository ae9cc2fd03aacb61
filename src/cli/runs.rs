//! `sac runs`.

mod diff;
mod prune;
mod select;

use std::path::Path;

use sac_cli::{
    args::RunsArgs,
    exit_code::DONE,
    table::{bytes, table},
};
use sac_report::{
    listing::{self, Listed},
    settings,
};

use super::output::{print, print_json};
use crate::error::Result;

pub fn run(args: &RunsArgs) -> Result<u8> {
    if let Some([a, b]) = args.diff.as_deref() {
        return diff::run(a, b, args.json).map(|()| DONE);
    }
    let all = listing::list(&args.path)?;
    let mut runs = select::chosen(all, &args.conditions)?;
    if args.prune {
        return prune::run(&runs, args.yes);
    }
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
