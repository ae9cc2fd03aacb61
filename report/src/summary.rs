//! All numbers of a report: [`summarise`].

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    align::{Common, Curves},
    data::{Data, Record},
    error::{Error, Result},
    estimates::{self, FEWEST_RUNS},
    overall::{Overall, Returns, overall},
    row::{finals, rows_of},
    scale::Scale,
    settings::{self, Settings},
    statistics::{RESAMPLES, Scores},
};
pub use crate::{
    estimates::{Comparison, ProfilePoint, Statistic},
    row::{Final, Point, Row},
};

/// What stands above every table.
pub const STATISTIC: &str = "final return of a run: mean of the last 10 % of its evaluations; IQM: interquartile mean over \
                             runs; intervals: 95 %, percentile bootstrap over runs within each task";

/// The numbers of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What the numbers are.
    pub statistic: &'static str,
    /// Resampled data sets behind an interval in a table.
    pub resamples: usize,
    /// In the order of their first runs.
    pub tasks: Vec<Task>,
    /// All tasks together, where scores have a scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<Overall>,
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

/// What a report is to show besides the runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Compare with this label only, instead of every pair.
    pub against: Option<&'a str>,
    /// How returns of several tasks are made comparable.
    pub scale: Option<&'a Scale>,
}

/// Computes a report on all runs of a data file.
///
/// # Errors
/// [`Error::Rows`] when a row has a seed twice, when the runs of a task have no evaluation in common, or no row has the label
/// to compare with; when a run has no curve, or a task no reference scores.
pub fn summarise(data: &Data, options: &Options) -> Result<Summary> {
    let against = options.against;
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
    let returns: Vec<Returns> = tasks.iter().map(returns).collect();
    let overall = options
        .scale
        .map(|scale| overall(&returns, scale, against))
        .transpose()?;
    Ok(Summary {
        statistic: STATISTIC,
        resamples: RESAMPLES,
        tasks,
        overall,
        notes,
    })
}

/// The final returns of a task, by label.
fn returns(task: &Task) -> Returns<'_> {
    let of_row = |row: &'_ Row| (row.label.clone(), finals(row).collect());
    Returns {
        env: &task.env,
        algorithms: task.algorithms.iter().map(of_row).collect(),
    }
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
    let curves = rows.iter().map(|(label, runs)| Curves::of(env, label, runs));
    let curves: Vec<Curves> = curves.collect::<Result<_>>()?;
    let common = Common::of(env, &curves)?;
    let mut algorithms = rows_of(env, &curves, &common)?;
    let scores_of = |row: &Row| Scores::new(vec![finals(row).collect()]).map(|scores| (row.label.clone(), scores));
    let scores: Vec<(String, Scores)> = algorithms.iter().filter_map(scores_of).collect();
    let places = estimates::places(
        &scores
            .iter()
            .flat_map(|(_, scores)| scores.pooled())
            .collect::<Vec<_>>(),
    );
    for (row, (_, scores)) in algorithms.iter_mut().zip(&scores) {
        row.profile = estimates::profile(scores, &places);
    }
    let notes = common
        .note
        .clone()
        .into_iter()
        .chain(notes(&algorithms, rows))
        .collect();
    Ok(Task {
        env: env.to_string(),
        comparisons: Comparison::of_pairs(&scores, against),
        algorithms,
        notes,
    })
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
    let settings: Vec<Settings> = runs.iter().map(|run| settings::of_record(run)).collect();
    settings::differing(&settings).into_iter().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Anchors;

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
        let found = summarise(&data(runs), &Options::default()).expect("whole");
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
        let found = summarise(
            &data(five("A", 1.0).chain(five("B", 2.0)).collect()),
            &Options::default(),
        )
        .expect("whole");
        assert!(found.tasks[0].comparisons[0].is_separated && found.notes.is_empty());
    }

    #[test]
    fn a_comparison_can_be_with_one_label_only() {
        let runs = ["A", "B", "C"].map(|label| run(label, "E", 1, &[1.0])).to_vec();
        let pairs = |against| {
            let found = summarise(
                &data(runs.clone()),
                &Options {
                    against,
                    ..Options::default()
                },
            )
            .expect("whole");
            let pair = |comparison: &Comparison| format!("{}{}", comparison.x, comparison.y);
            found.tasks[0].comparisons.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(pairs(None), ["AB", "AC", "BC"]);
        assert_eq!(pairs(Some("B")), ["AB", "CB"]);
        assert!(
            summarise(
                &data(runs.clone()),
                &Options {
                    against: Some("D"),
                    ..Options::default()
                }
            )
            .is_err()
        );
    }

    #[test]
    fn runs_that_are_no_row_of_one_table_are_refused() {
        let same = vec![run("A", "E", 1, &[1.0]), run("A", "E", 1, &[1.0])];
        let error = summarise(&data(same), &Options::default())
            .expect_err("one seed twice")
            .to_string();
        assert!(error.contains("A on E: seed 1 is there twice"), "{error}");
        let mut later = run("A", "E", 2, &[1.0]);
        later.evaluations["env_steps"] = serde_json::json!([15]);
        let error = summarise(&data(vec![run("A", "E", 1, &[1.0]), later]), &Options::default());
        let error = error.expect_err("nothing to compare").to_string();
        assert!(error.contains("the runs on E have no evaluation in common"), "{error}");
    }

    #[test]
    fn runs_of_different_length_are_compared_at_the_steps_that_all_have() {
        let mut sparse = run("B", "E", 1, &[5.0, 9.0]);
        sparse.evaluations["env_steps"] = serde_json::json!([20, 40]);
        let runs = vec![
            run("A", "E", 1, &[1.0, 2.0]),
            run("A", "E", 2, &[3.0, 4.0, 8.0]),
            sparse,
        ];
        let found = summarise(&data(runs), &Options::default()).expect("a step in common");
        let task = &found.tasks[0];
        let finals: Vec<Vec<f64>> = task.algorithms.iter().map(|row| finals(row).collect()).collect();
        assert_eq!(finals, [vec![2.0, 4.0], vec![5.0]], "all at 20 env steps");
        assert_eq!(
            task.notes[0],
            "Runs of different length or with evaluations at different env steps: final returns and comparisons are at the \
             1 evaluations that all of them have, up to 20 env steps; the longest run has 40 env steps."
        );
    }

    #[test]
    fn scores_on_a_scale_are_put_together_over_tasks() {
        let runs = |label: &'static str, plus: f64| {
            let of = move |env, low: f64| [1, 2].map(|seed| run(label, env, seed, &[low + plus + seed as f64]));
            of("E", 0.0).into_iter().chain(of("F", 100.0))
        };
        let all = data(
            runs("A", 0.0)
                .chain(runs("B", 1.0))
                .chain([run("C", "E", 1, &[9.0])])
                .collect(),
        );
        let anchors = |low| Anchors { low, high: low + 4.0 };
        let reference = |envs: &[(&str, f64)]| {
            Scale::Reference(envs.iter().map(|(env, low)| (env.to_string(), anchors(*low))).collect())
        };
        let with = |scale: &Scale| {
            let options = Options {
                scale: Some(scale),
                ..Options::default()
            };
            summarise(&all, &options).map(|found| found.overall.expect("there is a scale"))
        };
        let found = with(&reference(&[("E", 0.0), ("F", 100.0)])).expect("all tasks");
        let [a, b] = &found.algorithms[..] else {
            panic!("A and B: {found:?}")
        };
        assert_eq!(
            (a.label.as_str(), a.n, a.iqm.value, a.mean.value),
            ("A", 4, 0.375, 0.375)
        );
        assert_eq!((b.median.value, b.optimality_gap.value), (0.625, 0.375));
        assert_eq!(
            a.profile.first().map(|point| point.share.value),
            Some(0.5),
            "two are the lowest themselves"
        );
        assert_eq!(found.comparisons[0].probability_of_improvement.value, 0.125);
        assert_eq!(found.notes, ["Left out because they lack a task: C."]);
        let error = with(&reference(&[("E", 0.0)])).expect_err("F is missing").to_string();
        assert_eq!(error, "the reference scores lack F");
        let found = with(&Scale::MinMax).expect("from the data");
        assert_eq!(found.algorithms[1].label, "B");
    }

    #[test]
    fn runs_of_different_code_or_settings_are_named() {
        let (mut a, mut b) = (run("A", "E", 1, &[1.0]), run("A", "E", 2, &[1.0]));
        let plain = summarise(&data(vec![a.clone(), b.clone()]), &Options::default()).expect("whole");
        assert!(plain.tasks[0].notes.is_empty(), "{:?}", plain.tasks[0].notes);
        b.commit = Some("d".to_string());
        a.config = Some(serde_json::json!({ "train": { "seed": 1, "batch_size": 256 }, "agent": { "gamma": 0.99 } }));
        b.config = Some(serde_json::json!({ "train": { "seed": 2, "batch_size": 128 }, "agent": { "gamma": 0.99 } }));
        let found = summarise(&data(vec![a, b]), &Options::default()).expect("whole");
        assert_eq!(
            found.tasks[0].notes,
            [
                "Runs of different code (A: c, d).",
                "Runs of A differ in train.batch_size."
            ]
        );
    }
}
