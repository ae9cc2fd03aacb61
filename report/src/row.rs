//! The runs of one label on one environment, in numbers: [`Row`].

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    panic::resume_unwind,
    thread,
};

use serde::Serialize;

use crate::{
    align::{Common, Curves},
    data::Record,
    error::{Error, Result},
    estimates::{ProfilePoint, Statistic},
    resamples::Resamples,
    statistics::{RESAMPLES, RESAMPLES_OF_CURVES, Scores, final_score, interquartile_mean, mean_score, median},
};

/// The runs of one label on one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// Number of runs.
    pub n: usize,
    /// Length of each run.
    pub env_steps: u64,
    /// Final return of each run.
    pub runs: Vec<Final>,
    /// Of the final returns.
    pub iqm: Statistic,
    /// Of the final returns.
    pub median: Statistic,
    /// Of the final returns.
    pub mean: Statistic,
    /// At every evaluation that all runs have.
    pub curve: Vec<Point>,
    /// Share of runs with a final return above each number.
    pub profile: Vec<ProfilePoint>,
    /// Median wall time of the runs, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Median of the most memory that processes of the runs had, MiB, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// Of the code, each once.
    pub commits: Vec<String>,
    /// Each once.
    pub processors: Vec<String>,
}

/// How one run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Final {
    /// Missing where the data file has none.
    pub seed: Option<u64>,
    /// Mean of the last 10 % of its evaluations.
    pub final_return: f64,
    /// Its folder, where it was read from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Wall time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Most memory that its process had, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
}

/// The runs of a row at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// When.
    pub env_steps: u64,
    /// Of the mean returns.
    #[serde(flatten)]
    pub iqm: Statistic,
}

/// The final return of each run.
pub(crate) fn finals(row: &Row) -> impl Iterator<Item = f64> {
    row.runs.iter().map(|run| run.final_return)
}

/// The rows of a task, on as many threads as there are cores.
pub(crate) fn rows_of(env: &str, curves: &[Curves], common: &Common) -> Result<Vec<Row>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = curves.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let some_rows =
            |curves: &[Curves]| -> Result<Vec<Row>> { curves.iter().map(|curves| row(env, curves, common)).collect() };
        let workers = curves
            .chunks(share)
            .map(|curves| scope.spawn(move || some_rows(curves)));
        let workers: Vec<_> = workers.collect();
        let mut rows = Vec::new();
        for worker in workers {
            rows.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(rows)
    })
}

fn row(env: &str, row: &Curves, common: &Common) -> Result<Row> {
    let Curves { label, runs, curves } = row;
    let finals = runs.iter().zip(curves).filter_map(|(run, curve)| {
        let returns = curve.iter().filter(|(step, _)| common.env_steps.contains(step));
        let returns: Vec<f64> = returns.map(|(_, value)| *value).collect();
        Some(Final {
            seed: run.seed,
            final_return: final_score(&returns)?,
            folder: run.folder.clone(),
            seconds: run.seconds(),
            peak_memory_mib: run.peak_memory_mib,
        })
    });
    let finals: Vec<Final> = finals.collect();
    let Some(scores) = Scores::new(vec![finals.iter().map(|run| run.final_return).collect()]) else {
        return Err(Error::Rows(format!("{label} on {env}: a run has no final return")));
    };
    let statistic = |of: fn(&Scores) -> f64| Statistic::of(&scores, RESAMPLES, of);
    let distinct = |of: fn(&Record) -> Option<&str>| {
        let all: BTreeSet<&str> = runs.iter().filter_map(|run| of(run)).collect();
        all.into_iter().map(str::to_string).collect()
    };
    Ok(Row {
        label: label.to_string(),
        n: runs.len(),
        env_steps: runs.iter().map(|run| run.env_steps).max().unwrap_or(0),
        iqm: statistic(interquartile_mean),
        median: statistic(median),
        mean: statistic(mean_score),
        curve: points(curves),
        profile: Vec::new(),
        seconds: middle(finals.iter().filter_map(|run| run.seconds)),
        peak_memory_mib: middle(finals.iter().filter_map(|run| run.peak_memory_mib)),
        commits: distinct(|run| run.commit.as_deref().or(run.version.as_deref())),
        processors: distinct(|run| Some(&run.processor)),
        runs: finals,
    })
}

/// The upper one of the two in the middle of several numbers, where there is no middle one.
fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Interquartile mean and band at every evaluation that all curves have.
fn points(curves: &[BTreeMap<u64, f64>]) -> Vec<Point> {
    let Some(first) = curves.first() else {
        return Vec::new();
    };
    let resamples = Resamples::new(&[curves.len()], RESAMPLES_OF_CURVES);
    let at_step = |env_steps: &u64| {
        let values = curves.iter().map(|curve| curve.get(env_steps).copied());
        let values: Vec<f64> = values.collect::<Option<_>>()?;
        let found = Statistic::from(resamples.interquartile_mean(&values));
        let interval = found.interval.filter(|_| curves.len() > 1);
        Some(Point {
            env_steps: *env_steps,
            iqm: Statistic { interval, ..found },
        })
    };
    first.keys().filter_map(at_step).collect()
}
