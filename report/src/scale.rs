//! Scores that can be compared between tasks: [`Scale`].

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The returns that count as scores 0 and 1 on a task, such as those of random actions and of a person.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// Score 0.
    pub low: f64,
    /// Score 1.
    pub high: f64,
}

impl Anchors {
    /// The score of a return.
    pub fn score(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn is_valid(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low < self.high
    }
}

/// How returns become scores.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// By anchors for each task.
    Reference(BTreeMap<String, Anchors>),
    /// Between the lowest and the highest final return of the report on each task.
    MinMax,
}

impl Scale {
    /// Reads a file with a table for each task:
    ///
    /// ```toml
    /// [Pendulum-v1]
    /// low = -1200.0
    /// high = -150.0
    /// ```
    ///
    /// # Errors
    /// When it cannot be read or is of another form; when `low` is not below `high`.
    pub fn read(path: &Path) -> Result<Scale> {
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let anchors: BTreeMap<String, Anchors> =
            toml::from_str(&text).map_err(|error| Error::malformed(path, error.message()))?;
        let wrong: Vec<String> = anchors
            .iter()
            .filter(|(_, anchors)| !anchors.is_valid())
            .map(|(env, Anchors { low, high })| format!("{env}: low = {low} is not below high = {high}"))
            .collect();
        match wrong.is_empty() {
            true => Ok(Scale::Reference(anchors)),
            false => Err(Error::malformed(path, wrong.join("; "))),
        }
    }

    /// The anchors of a task with these final returns; `None` where it has none.
    pub(crate) fn anchors(&self, env: &str, returns: impl Iterator<Item = f64>) -> Option<Anchors> {
        match self {
            Scale::Reference(anchors) => anchors.get(env).copied(),
            Scale::MinMax => {
                let (low, high) = returns.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
                Some(Anchors { low, high }).filter(Anchors::is_valid)
            }
        }
    }

    /// In a sentence.
    pub(crate) fn sentence(&self) -> &'static str {
        match self {
            Scale::Reference(_) => "score: final return on a scale from `low` (0) to `high` (1) of the reference file",
            Scale::MinMax => {
                "score: final return on a scale from the lowest (0) to the highest (1) of all runs of this report on the task"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_lies_between_the_anchors_of_its_task() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.toml");
        fs::write(&path, "[E]\nlow = -100\nhigh = 100.0\n").expect("written");
        let scale = Scale::read(&path).expect("valid");
        let anchors = scale.anchors("E", std::iter::empty()).expect("there");
        assert_eq!([-100.0, 0.0, 200.0].map(|value| anchors.score(value)), [0.0, 0.5, 1.5]);
        assert_eq!(scale.anchors("F", std::iter::empty()), None);
        let found = Scale::MinMax.anchors("E", [3.0, 1.0, 2.0].into_iter());
        assert_eq!(found, Some(Anchors { low: 1.0, high: 3.0 }));
        assert_eq!(
            Scale::MinMax.anchors("E", [1.0, 1.0].into_iter()),
            None,
            "nothing to divide by"
        );

        for (text, problem) in [
            (
                "[E]\nlow = 2\nhigh = 1\n[F]\nlow = nan\nhigh = 1\n",
                "E: low = 2 is not below high = 1; F: low = NaN",
            ),
            ("[E]\nlow = 2\n", "missing field `high`"),
            ("[E]\nlow = 2\nhigh = 3\nmid = 1\n", "unknown field `mid`"),
        ] {
            fs::write(&path, text).expect("written");
            let error = Scale::read(&path).expect_err(text).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
