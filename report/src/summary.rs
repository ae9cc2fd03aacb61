//! All numbers of a report: [`summarise`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    data::{Data, Record},
    error::{Error, Result},
    settings::{self, Settings},
    statistics::{
        Estimate, RESAMPLES, RESAMPLES_OF_CURVES, Scores, estimate, estimate_of_two, final_score, interquartile_mean,
        probability_of_improvement,
    },
};

/// What stands above every table.
pub const STATISTIC: &str = "final return of a run: mean of the last 10 % of its evaluations; IQM: interquartile mean over \
                             runs; intervals: 95 %, percentile bootstrap over runs within each task";

/// Runs of each algorithm below which no order is claimed: a bootstrap over fewer gives intervals that are too narrow. (Of
/// three runs against three, all above the others has a probability of one in ten without any difference.)
pub const FEWEST_RUNS: usize = 5;

/// The numbers of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What the numbers are.
    pub statistic: &'static str,
    /// Resampled data sets behind an interval in a table.
    pub resamples: usize,
    /// In the order of their first runs.
    pub tasks: Vec<Task>,
    /// What limits the comparison, in sentences.
    pub notes: Vec<String>,
}

/// Algorithms on one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    /// Id of the environment.
    pub env: String,
    /// In the order of their first runs.
    pub algorithms: Vec<Row>,
    /// Every pair of algorithms, or every other algorithm against one.
    pub comparisons: Vec<Comparison>,
    /// What limits the comparison, in sentences.
    pub notes: Vec<String>,
}

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
    /// At every evaluation that all runs have.
    pub curve: Vec<Point>,
    /// Median wall time of the runs, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
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
}

/// A number, with an interval where there are at least two runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// Of the runs themselves.
    pub value: f64,
    /// Ends of the 95 % interval.
    pub interval: Option<[f64; 2]>,
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

/// Two algorithms on one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// One label.
    pub x: String,
    /// The other.
    pub y: String,
    /// That a run of `x` ends higher than one of `y`.
    pub probability_of_improvement: Statistic,
    /// Whether the interval excludes 0.5, with at least [`FEWEST_RUNS`] runs of each.
    pub is_separated: bool,
}

impl Statistic {
    /// Interquartile mean of one task's scores.
    ///
    /// `None` where there is no score, or one that is not finite.
    pub fn iqm(scores: &[f64], resamples: usize) -> Option<Self> {
        let whole = Scores::new(vec![scores.to_vec()])?;
        Some(match scores.len() {
            1 => Statistic {
                value: scores[0],
                interval: None,
            },
            _ => Statistic::from(estimate(&whole, resamples, interquartile_mean)),
        })
    }

    /// Probability that a run of `x` scores higher than one of `y`, on one task.
    ///
    /// `None` where one has no score, or one that is not finite.
    pub fn improvement(x: &[f64], y: &[f64]) -> Option<Self> {
        let [a, b] = [x, y].map(|scores| Scores::new(vec![scores.to_vec()]));
        let (a, b) = (a?, b?);
        Some(if x.len() < 2 || y.len() < 2 {
            Statistic {
                value: probability_of_improvement(&a, &b),
                interval: None,
            }
        } else {
            Statistic::from(estimate_of_two(&a, &b, probability_of_improvement))
        })
    }

    /// Whether its interval excludes a number.
    pub fn excludes(&self, number: f64) -> bool {
        self.interval.is_some_and(|[low, high]| number < low || high < number)
    }
}

impl From<Estimate> for Statistic {
    fn from(estimate: Estimate) -> Self {
        Statistic {
            value: estimate.value,
            interval: Some([estimate.low, estimate.high]),
        }
    }
}

/// Computes a report on all runs of a data file.
///
/// With `against`, comparisons are with that label only.
///
/// # Errors
/// [`Error::Rows`] when a row has a seed twice or runs of different lengths, or no row has the label `against`; when a run
/// has no curve.
pub fn summarise(data: &Data, against: Option<&str>) -> Result<Summary> {
    let mut rows: Named<Named<Vec<&Record>>> = Vec::new();
    for run in &data.runs {
        let task = entry(&mut rows, &run.env);
        entry(task, &run.label).push(run);
    }
    if let Some(label) = against
        && !data.runs.iter().any(|run| run.label == label)
    {
        return Err(Error::Rows(format!("no runs of {label} to compare with")));
    }
    let tasks = rows.iter().map(|(env, rows)| task(env, rows, against));
    let tasks: Vec<Task> = tasks.collect::<Result<_>>()?;
    let mut notes = Vec::new();
    let fewest = tasks.iter().flat_map(|task| &task.algorithms).map(|row| row.n).min();
    if let Some(n) = fewest.filter(|n| *n < FEWEST_RUNS) {
        notes.push(format!(
            "Some rows have {n} {}. A bootstrap over fewer than {FEWEST_RUNS} runs gives intervals that are too narrow.",
            if n == 1 { "run and no interval" } else { "runs" }
        ));
    }
    Ok(Summary {
        statistic: STATISTIC,
        resamples: RESAMPLES,
        tasks,
        notes,
    })
}

/// Values by name, in the order in which the names first came.
type Named<T> = Vec<(String, T)>;

/// The value of a name.
fn entry<'a, T: Default>(list: &'a mut Named<T>, key: &str) -> &'a mut T {
    let at = list.iter().position(|(other, _)| other == key).unwrap_or_else(|| {
        list.push((key.to_string(), T::default()));
        list.len() - 1
    });
    &mut list[at].1
}

fn task(env: &str, rows: &[(String, Vec<&Record>)], against: Option<&str>) -> Result<Task> {
    let algorithms = rows.iter().map(|(label, runs)| row(env, label, runs));
    let algorithms: Vec<Row> = algorithms.collect::<Result<_>>()?;
    let mut comparisons = Vec::new();
    for (index, x) in algorithms.iter().enumerate() {
        for (other, y) in algorithms.iter().enumerate() {
            let is_wanted = match against {
                Some(label) => y.label == label && index != other,
                None => index < other,
            };
            let values = |row: &Row| row.runs.iter().map(|run| run.final_return).collect::<Vec<_>>();
            if is_wanted && let Some(probability) = Statistic::improvement(&values(x), &values(y)) {
                comparisons.push(Comparison {
                    x: x.label.clone(),
                    y: y.label.clone(),
                    probability_of_improvement: probability,
                    is_separated: x.n.min(y.n) >= FEWEST_RUNS && probability.excludes(0.5),
                });
            }
        }
    }
    let notes = notes(&algorithms, rows);
    Ok(Task {
        env: env.to_string(),
        algorithms,
        comparisons,
        notes,
    })
}

fn row(env: &str, label: &str, runs: &[&Record]) -> Result<Row> {
    let refused = |problem: String| Err(Error::Rows(format!("{label} on {env}: {problem}")));
    let mut seeds = BTreeMap::new();
    for run in runs {
        let Some(seed) = run.seed else { continue };
        if let Some(other) = seeds.insert(seed, run) {
            return refused(format!(
                "seed {seed} is there twice, in {} and {}; give runs with other settings another label, LABEL=PATH",
                other.source.display(),
                run.source.display()
            ));
        }
    }
    let env_steps = runs[0].env_steps;
    if let Some(other) = runs.iter().find(|run| run.env_steps != env_steps) {
        return refused(format!(
            "runs of {env_steps} and of {} env steps are no row of one table; give them labels, LABEL=PATH",
            other.env_steps
        ));
    }
    let curves = runs.iter().map(|run| run.curve()).collect::<Result<Vec<_>>>()?;
    let finals: Vec<Final> = runs
        .iter()
        .zip(&curves)
        .filter_map(|(run, curve)| {
            let returns: Vec<f64> = curve.iter().map(|(_, value)| *value).collect();
            let final_return = final_score(&returns)?;
            Some(Final {
                seed: run.seed,
                final_return,
            })
        })
        .collect();
    let values: Vec<f64> = finals.iter().map(|run| run.final_return).collect();
    let Some(iqm) = Statistic::iqm(&values, RESAMPLES) else {
        return refused("no run has a final return".to_string());
    };
    let curve = points(&curves);
    if curve.is_empty() {
        return refused("the runs have no evaluation in common".to_string());
    }
    let mut seconds: Vec<f64> = runs.iter().filter_map(|run| run.seconds()).collect();
    seconds.sort_by(f64::total_cmp);
    let distinct = |of: fn(&Record) -> Option<&str>| {
        let all: BTreeSet<&str> = runs.iter().filter_map(|run| of(run)).collect();
        all.into_iter().map(str::to_string).collect()
    };
    Ok(Row {
        label: label.to_string(),
        n: runs.len(),
        env_steps,
        runs: finals,
        iqm,
        curve,
        seconds: seconds.get(seconds.len() / 2).copied(),
        commits: distinct(|run| run.commit.as_deref().or(run.version.as_deref())),
        processors: distinct(|run| Some(&run.processor)),
    })
}

/// Interquartile mean and band at every evaluation that all curves have.
fn points(curves: &[Vec<(u64, f64)>]) -> Vec<Point> {
    let curves: Vec<BTreeMap<u64, f64>> = curves.iter().map(|curve| curve.iter().copied().collect()).collect();
    let Some(first) = curves.first() else {
        return Vec::new();
    };
    let at_step = |env_steps: &u64| {
        let values: Option<Vec<f64>> = curves.iter().map(|curve| curve.get(env_steps).copied()).collect();
        Some(Point {
            env_steps: *env_steps,
            iqm: Statistic::iqm(&values?, RESAMPLES_OF_CURVES)?,
        })
    };
    first.keys().filter_map(at_step).collect()
}

/// What makes the runs of a task less alike than a comparison takes them for.
fn notes(algorithms: &[Row], rows: &[(String, Vec<&Record>)]) -> Vec<String> {
    let mut notes = Vec::new();
    let commits: BTreeSet<&String> = algorithms.iter().flat_map(|row| &row.commits).collect();
    if commits.len() > 1 {
        let of_row = |row: &Row| format!("{}: {}", row.label, row.commits.join(", "));
        let each: Vec<String> = algorithms.iter().map(of_row).collect();
        notes.push(format!("Runs of different code ({}).", each.join("; ")));
    }
    let steps: BTreeSet<u64> = algorithms.iter().map(|row| row.env_steps).collect();
    if steps.len() > 1 {
        notes.push("Runs of different length: final returns are after different numbers of env steps.".to_string());
    }
    for (label, runs) in rows {
        let differ = differing(runs);
        if !differ.is_empty() {
            notes.push(format!("Runs of {label} differ in {}.", differ.join(", ")));
        }
    }
    notes
}

/// Settings in which the runs of a row differ.
fn differing(runs: &[&Record]) -> Vec<String> {
    let settings: Vec<Settings> = runs.iter().map(|run| settings_of(run)).collect();
    settings::differing(&settings).into_iter().map(str::to_string).collect()
}

/// All that is known of the settings of a run: its configuration, or what was set over the preset.
fn settings_of(run: &Record) -> Settings {
    let mut found = run.config.as_ref().map(settings::leaves).unwrap_or_default();
    if let Some(set) = &run.set {
        found.insert("their settings".to_string(), set.join(" "));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(label: &str, env: &str, seed: u64, returns: &[f64]) -> Record {
        let steps: Vec<u64> = (1..=returns.len() as u64).map(|index| index * 10).collect();
        let evaluations = serde_json::json!({ "env_steps": steps, "mean_return": returns });
        Record {
            label: label.to_string(),
            seed: Some(seed),
            env: env.to_string(),
            env_steps: 10 * returns.len() as u64,
            commit: Some("c".to_string()),
            evaluations: evaluations.as_object().cloned().unwrap_or_default(),
            ..Record::default()
        }
    }

    fn data(runs: Vec<Record>) -> Data {
        Data {
            runs,
            ..Data::default()
        }
    }

    #[test]
    fn a_report_has_a_row_for_each_label_and_task_and_compares_within_tasks() {
        let runs = vec![
            run("A", "E", 1, &[0.0, 1.0]),
            run("A", "E", 2, &[9.0, 3.0]),
            run("B", "E", 1, &[0.0, 4.0]),
            run("B", "E", 2, &[0.0, 5.0]),
            run("A", "F", 1, &[7.0]),
        ];
        let found = summarise(&data(runs), None).expect("whole");
        let [e, f] = &found.tasks[..] else { panic!("two tasks") };
        assert_eq!((e.env.as_str(), e.algorithms.len(), f.env.as_str()), ("E", 2, "F"));
        let row = &e.algorithms[0];
        assert_eq!(
            (row.n, row.iqm.value, row.iqm.interval),
            (2, 2.0, Some([1.0, 3.0])),
            "never the best, which is 9"
        );
        assert_eq!(row.curve[0].iqm.value, 4.5);
        assert_eq!(f.algorithms[0].iqm.interval, None, "one run has no interval");
        let [comparison] = &e.comparisons[..] else {
            panic!("one pair")
        };
        assert_eq!((comparison.x.as_str(), comparison.y.as_str()), ("A", "B"));
        assert_eq!(comparison.probability_of_improvement.value, 0.0);
        assert!(
            !comparison.is_separated && f.comparisons.is_empty(),
            "two runs are too few"
        );
        let five = |label: &'static str, value: f64| (1..=5).map(move |seed| run(label, "E", seed, &[value]));
        let found = summarise(&data(five("A", 1.0).chain(five("B", 2.0)).collect()), None).expect("whole");
        assert!(found.tasks[0].comparisons[0].is_separated && found.notes.is_empty());
    }

    #[test]
    fn a_comparison_can_be_with_one_label_only() {
        let runs = ["A", "B", "C"].map(|label| run(label, "E", 1, &[1.0])).to_vec();
        let pairs = |against| {
            let found = summarise(&data(runs.clone()), against).expect("whole");
            let pair = |comparison: &Comparison| format!("{}{}", comparison.x, comparison.y);
            found.tasks[0].comparisons.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(pairs(None), ["AB", "AC", "BC"]);
        assert_eq!(pairs(Some("B")), ["AB", "CB"]);
        assert!(summarise(&data(runs.clone()), Some("D")).is_err());
    }

    #[test]
    fn runs_that_are_no_row_of_one_table_are_refused() {
        let same = vec![run("A", "E", 1, &[1.0]), run("A", "E", 1, &[1.0])];
        let error = summarise(&data(same), None).expect_err("one seed twice").to_string();
        assert!(error.contains("A on E: seed 1 is there twice"), "{error}");
        let longer = vec![run("A", "E", 1, &[1.0]), run("A", "E", 2, &[1.0, 2.0])];
        let error = summarise(&data(longer), None).expect_err("two lengths").to_string();
        assert!(error.contains("runs of 10 and of 20 env steps"), "{error}");
    }

    #[test]
    fn runs_of_different_code_or_settings_are_named() {
        let (mut a, mut b) = (run("A", "E", 1, &[1.0]), run("A", "E", 2, &[1.0]));
        let plain = summarise(&data(vec![a.clone(), b.clone()]), None).expect("whole");
        assert!(plain.tasks[0].notes.is_empty(), "{:?}", plain.tasks[0].notes);
        b.commit = Some("d".to_string());
        a.config = Some(serde_json::json!({ "train": { "seed": 1, "batch_size": 256 }, "agent": { "gamma": 0.99 } }));
        b.config = Some(serde_json::json!({ "train": { "seed": 2, "batch_size": 128 }, "agent": { "gamma": 0.99 } }));
        let found = summarise(&data(vec![a, b]), None).expect("whole");
        assert_eq!(
            found.tasks[0].notes,
            [
                "Runs of different code (A: c, d).",
                "Runs of A differ in train.batch_size."
            ]
        );
    }
}
