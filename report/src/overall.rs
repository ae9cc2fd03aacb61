//! Statistics over all tasks of a report, of scores that can be compared between them: [`Overall`].

use serde::Serialize;

use crate::{
    error::{Error, Result},
    estimates::{Comparison, ProfilePoint, Statistic, places, profile},
    scale::Scale,
    statistics::{RESAMPLES, Scores, interquartile_mean, mean_score, median_of_tasks, optimality_gap},
};

/// All tasks together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overall {
    /// What a score is, in a sentence.
    pub scale: &'static str,
    /// Tasks with a score.
    pub tasks: Vec<String>,
    /// Those with runs on all of these tasks.
    pub algorithms: Vec<OverallRow>,
    /// Pairs of them.
    pub comparisons: Vec<Comparison>,
    /// What is left out, in sentences.
    pub notes: Vec<String>,
}

/// An algorithm on all tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverallRow {
    /// Its name.
    pub label: String,
    /// Runs, all tasks together.
    pub n: usize,
    /// Over all runs.
    pub iqm: Statistic,
    /// Over the means of tasks.
    pub median: Statistic,
    /// Over the means of tasks.
    pub mean: Statistic,
    /// How far scores fall short of 1.
    pub optimality_gap: Statistic,
    /// Share of runs with a score above each number.
    pub profile: Vec<ProfilePoint>,
}

/// The final returns on a task, by label.
pub(crate) struct Returns<'a> {
    pub(crate) env: &'a str,
    pub(crate) algorithms: Vec<(String, Vec<f64>)>,
}

impl Returns<'_> {
    /// The scores by label; `None` where there is no scale for them.
    fn scores(&self, scale: &Scale) -> Option<Vec<(&str, Vec<f64>)>> {
        let all = self.algorithms.iter().flat_map(|(_, returns)| returns.iter().copied());
        let anchors = scale.anchors(self.env, all)?;
        let scores = self.algorithms.iter().map(|(label, returns)| {
            let scores = returns.iter().map(|value| anchors.score(*value));
            (label.as_str(), scores.collect())
        });
        Some(scores.collect())
    }
}

/// The statistics over all tasks.
///
/// # Errors
/// When a task has no reference scores.
pub(crate) fn overall(tasks: &[Returns], scale: &Scale, against: Option<&str>) -> Result<Overall> {
    let mut notes = Vec::new();
    let (mut scored, mut without) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.scores(scale) {
            Some(scores) => scored.push((task.env, scores)),
            None => without.push(task.env),
        }
    }
    match scale {
        Scale::Reference(_) if !without.is_empty() => {
            return Err(Error::Rows(format!("the reference scores lack {}", without.join(", "))));
        }
        Scale::MinMax if !without.is_empty() => notes.push(format!(
            "Left out because all final returns are equal: {}.",
            without.join(", ")
        )),
        _ => {}
    }
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in scored.iter().flat_map(|(_, scores)| scores) {
        if !labels.contains(label) {
            labels.push(label);
        }
    }
    let (mut algorithms, mut partial) = (Vec::new(), Vec::new());
    for label in labels {
        let of_label = scored.iter().map(|(_, scores)| {
            let found = scores.iter().find(|(other, _)| *other == label);
            found.map(|(_, scores)| scores.clone())
        });
        match of_label.collect::<Option<Vec<Vec<f64>>>>().and_then(Scores::new) {
            Some(scores) => algorithms.push((label.to_string(), scores)),
            None => partial.push(label),
        }
    }
    if !partial.is_empty() {
        notes.push(format!("Left out because they lack a task: {}.", partial.join(", ")));
    }
    let all: Vec<f64> = algorithms.iter().flat_map(|(_, scores)| scores.pooled()).collect();
    let places = places(&all);
    Ok(Overall {
        scale: scale.sentence(),
        tasks: scored.iter().map(|(env, _)| env.to_string()).collect(),
        algorithms: algorithms
            .iter()
            .map(|(label, scores)| row(label, scores, &places))
            .collect(),
        comparisons: Comparison::of_pairs(&algorithms, against),
        notes,
    })
}

fn row(label: &str, scores: &Scores, places: &[f64]) -> OverallRow {
    let of = |statistic: fn(&Scores) -> f64| Statistic::of(scores, RESAMPLES, statistic);
    OverallRow {
        label: label.to_string(),
        n: scores.count(),
        iqm: of(interquartile_mean),
        median: of(median_of_tasks),
        mean: of(mean_score),
        optimality_gap: of(optimality_gap),
        profile: profile(scores, places),
    }
}
