//! What is said of a search: its trials ([`status`]), and what it will take ([`dry_run`]).

use sac_cli::{
    args::SearchArgs,
    table::{bytes, table},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    check::Checked,
    file::Search,
    folder::SearchFolder,
    halving::ranked,
    journal::{Ended, Trial},
    sampler::Sampler,
};
use crate::{
    cli::{
        many::{estimate::Estimate, hours, slurm},
        output::{print, print_json},
    },
    error::Result,
    registry::Registry,
};

/// Rows of the table of trials.
const MOST_ROWS: usize = 20;

/// A trial, as JSON has it.
#[derive(Serialize)]
struct Told {
    number: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    env_steps: u64,
    value: Option<f64>,
    settings: serde_json::Map<String, Value>,
}

#[derive(Serialize)]
struct Status {
    folder: String,
    objective: &'static str,
    trials_wanted: u64,
    /// Env steps of all trials and their runs.
    env_steps: u64,
    /// The best first.
    trials: Vec<Told>,
}

/// Prints the trials, the best first.
pub fn status(args: &SearchArgs, folder: &SearchFolder, search: &Search) -> Result<()> {
    let trials = folder.journal().trials()?;
    let best_first = ranked(&trials);
    let others = trials
        .iter()
        .filter(|trial| !best_first.iter().any(|known| known.number == trial.number));
    let told: Vec<Told> = best_first
        .iter()
        .copied()
        .chain(others)
        .map(|trial| told(trial, search))
        .collect();
    let steps: u64 = told
        .iter()
        .map(|trial| trial.env_steps * search.seeds.len() as u64)
        .sum();
    if args.many.json {
        return print_json(&Status {
            folder: folder.path().display().to_string(),
            objective: search.objective.name(),
            trials_wanted: search.trials,
            env_steps: steps,
            trials: told,
        });
    }
    let count = |state: &str| told.iter().filter(|trial| trial.state == state).count();
    let full = search.env_steps * search.seeds.len() as u64 * told.len() as u64;
    print(&format!(
        "{}\n{} of {} trials: {} complete, {} paused or pruned, {} under way, {} failed\n\
         {steps} env steps, {:.0} % of what these trials take without pruning\n{}{}\n",
        rows(&told, search),
        told.len(),
        search.trials,
        count("complete"),
        count("paused") + count("pruned"),
        count("under way"),
        count("failed"),
        100.0 * steps as f64 / full.max(1) as f64,
        slurm::queue(&folder.own()),
        folder.path().display()
    ))
}

fn rows(told: &[Told], search: &Search) -> String {
    let row = |trial: &Told| {
        let state = match &trial.reason {
            Some(reason) => format!("{}: {reason}", trial.state),
            None => trial.state.to_string(),
        };
        let settings = trial.settings.iter().map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}={text}"),
            None => format!("{key}={value}"),
        });
        vec![
            trial.number.to_string(),
            trial.value.map_or("-".to_string(), |value| format!("{value:.2}")),
            trial.env_steps.to_string(),
            state,
            settings.collect::<Vec<_>>().join(" "),
        ]
    };
    let value = search.objective.name();
    let shown: Vec<Vec<String>> = told.iter().take(MOST_ROWS).map(row).collect();
    let mut text = table(
        &["trial", value, "env steps", "state", "settings"],
        &["trial", value, "env steps"],
        &shown,
    );
    if told.len() > MOST_ROWS {
        text += &format!("… and {} more\n", told.len() - MOST_ROWS);
    }
    text
}

fn told(trial: &Trial, search: &Search) -> Told {
    let settings = search.space.settings(&trial.point).into_iter();
    Told {
        number: trial.number,
        state: match &trial.ended {
            Some(Ended::Complete) => "complete",
            Some(Ended::Pruned) => "pruned",
            Some(Ended::Failed(_)) => "failed",
            None if trial.is_under_way() => "under way",
            None => "paused",
        },
        reason: trial.failure().map(str::to_string),
        env_steps: trial.newest().map_or(0, |(steps, _)| steps),
        value: trial.newest().map(|(_, value)| value),
        settings: settings
            .map(|(key, value)| (key.to_string(), serde_json::to_value(value).unwrap_or_default()))
            .collect(),
    }
}

/// What Optuna's dashboard shows of the search as a whole.
pub fn attributes(search: &Search, rungs: &[u64]) -> [(&'static str, String); 6] {
    let name = Sampler::NAMES.iter().find(|(_, one)| *one == search.sampler);
    [
        ("env", search.env.clone()),
        ("algo", search.algo.clone()),
        ("objective", search.objective.name().to_string()),
        ("sampler", name.map_or(String::new(), |(name, _)| name.to_string())),
        ("set", search.set.join(" ")),
        ("rungs", format!("{rungs:?}")),
    ]
}

/// Says where trials pause, and what the search takes.
pub fn dry_run(search: &Search, checked: &Checked, jobs: usize, registry: &Registry) -> Result<()> {
    let factor = search.prune.map_or(1, |prune| prune.reduction_factor);
    let (mut rows, mut before, mut steps, mut trials) = (Vec::new(), 0, 0, search.trials);
    for rung in &checked.rungs {
        steps += trials * (rung - before);
        rows.push(vec![rung.to_string(), trials.to_string()]);
        (before, trials) = (*rung, (trials / factor).max(1));
    }
    let runs = search.seeds.len() as u64;
    let estimate = Estimate::of(&checked.config, registry)?;
    let share = steps as f64 / search.env_steps as f64;
    let all = search.trials * search.env_steps;
    print(&format!(
        "{}\nat least {} env steps, {:.0} % of {}: about {} with {jobs} at a time, {} on disk\n\
         More trials go on where the better ones come later. The time is that of updates alone, measured now with the middle \
         of all ranges.\n",
        table(&["env steps", "trials"], &["env steps", "trials"], &rows),
        steps * runs,
        100.0 * steps as f64 / all as f64,
        all * runs,
        hours(estimate.seconds * share * runs as f64 / jobs as f64),
        bytes(estimate.bytes * search.trials * runs)
    ))
}
