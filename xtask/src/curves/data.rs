//! The data files of `docs/curves`: every run of an experiment with its evaluations and scores.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A return worth marking, such as the one at which the task counts as solved.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Threshold {
    #[serde(rename = "return")]
    pub(super) at: f64,
    /// In the legend.
    pub(super) label: String,
}

/// A data file of `docs/curves`. The example `learning_curves` draws it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) title: String,
    #[serde(default)]
    pub(super) threshold: Option<Threshold>,
    pub(super) runs: Vec<Record>,
}

/// A run in a data file: what was asked for, which code and machine it comes from, and what came out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) label: String,
    pub(super) seed: u64,
    pub(super) env: String,
    pub(super) algo: String,
    pub(super) env_steps: u64,
    pub(super) set: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) returns_divided_by: Option<f64>,
    pub(super) commit: String,
    pub(super) processor: String,
    pub(super) threads: u64,
    pub(super) checkpoint: String,
    /// Columns of `eval.csv`, in its order.
    pub(super) evaluations: serde_json::Map<String, Value>,
    /// `sac eval --json`, once per condition, the plain task first.
    pub(super) scores: Vec<Value>,
}

impl Record {
    /// Wall time of the training, as far as the last evaluation.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.evaluations.get("seconds")?.as_array()?.last()?.as_f64()
    }
}

pub(super) fn data_file(curves: &Path, name: &str) -> PathBuf {
    curves.join(format!("{name}.json"))
}

/// A data file; empty where there is none.
pub(super) fn read_data(path: &Path) -> Result<Data> {
    if !path.exists() {
        return Ok(Data::default());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
}

/// Writes a data file as a whole or not at all.
pub(super) fn write_data(path: &Path, data: &Data) -> Result<()> {
    let unfinished = path.with_extension("json.tmp");
    fs::write(&unfinished, to_text(data)?).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// One line per run, so that a diff shows which runs changed.
fn to_text(data: &Data) -> Result<String> {
    let mut text = format!("{{\n\"title\": {},\n", serde_json::to_string(&data.title)?);
    if let Some(threshold) = &data.threshold {
        text += &format!("\"threshold\": {},\n", serde_json::to_string(threshold)?);
    }
    let runs = data.runs.iter().map(serde_json::to_string);
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    Ok(text + "\"runs\": [\n" + &runs.join(",\n") + "\n]\n}\n")
}

/// The columns of a table with numbers in it, by the names in its first line.
pub(super) fn columns(csv: &str) -> Result<serde_json::Map<String, Value>> {
    let mut lines = csv.lines().map(|line| line.split(','));
    let names: Vec<&str> = lines.next().context("eval.csv is empty")?.collect();
    let mut columns = vec![Vec::new(); names.len()];
    for cells in lines {
        for ((name, column), cell) in names.iter().zip(&mut columns).zip(cells) {
            let number: Value =
                serde_json::from_str(cell).with_context(|| format!("eval.csv: `{cell}` under {name}"))?;
            column.push(number);
        }
    }
    let columns = names.iter().zip(columns);
    Ok(columns
        .map(|(name, column)| (name.to_string(), Value::from(column)))
        .collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::curves::experiment::runs_of;
    use crate::curves::experiment::tests::{experiments, small};

    #[test]
    fn every_run_of_every_experiment_is_recorded_as_it_is_asked_for() {
        let curves = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/curves");
        for experiment in experiments() {
            let data = read_data(&data_file(&curves, &experiment.name)).unwrap_or_else(|e| panic!("{e:#}"));
            let missing: Vec<_> = runs_of(&experiment)
                .filter(|run| !data.runs.iter().any(|record| run.is_told_by(record)))
                .map(|run| format!("{}, seed {}", run.group.label, run.seed))
                .collect();
            assert!(
                missing.is_empty(),
                "{}: `cargo xtask curves {0}` has to train {missing:?}",
                experiment.name
            );
            assert_eq!(data.runs.len(), runs_of(&experiment).count(), "{}", experiment.name);
            assert_eq!(data.title, experiment.title);
            let threshold = |threshold: &Option<Threshold>| threshold.as_ref().map(|it| (it.at, it.label.clone()));
            assert_eq!(threshold(&data.threshold), threshold(&experiment.threshold));
        }
    }

    pub(in crate::curves) fn small_record(seed: u64, seconds: f64) -> Record {
        let scored = |set: &[&str]| serde_json::json!({ "mean_return": 1.0, "set": set });
        let csv = format!(
            "env_steps,seconds,mean_return\n5,{},-3.25\n10,{seconds},2\n",
            seconds / 2.0
        );
        Record {
            label: "A (b)".to_string(),
            seed,
            env: "E".to_string(),
            algo: "sac".to_string(),
            env_steps: 10,
            set: vec!["agent.gamma=0.9".to_string()],
            returns_divided_by: None,
            commit: String::new(),
            processor: String::new(),
            threads: 1,
            checkpoint: "best".to_string(),
            evaluations: columns(&csv).unwrap_or_else(|e| panic!("{e:#}")),
            scores: vec![scored(&[]), scored(&["env.wrappers=[]"])],
        }
    }

    #[test]
    fn a_data_file_follows_its_experiment_and_loses_no_number() {
        let mut gone = small_record(1, 1.0);
        gone.label = "not in the experiment".to_string();
        let mut data = Data {
            runs: vec![gone, small_record(2, 8.0), small_record(3, 1.0), small_record(1, 4.125)],
            ..Data::default()
        };
        small().arrange(&mut data);
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let path = data_file(folder.path(), "x");
        write_data(&path, &data).unwrap_or_else(|e| panic!("{e:#}"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(text.lines().count(), 8, "a line per run, and six around them:\n{text}");
        let data = read_data(&path).unwrap_or_else(|e| panic!("{e:#}"));
        let seeds: Vec<u64> = data.runs.iter().map(|run| run.seed).collect();
        assert_eq!(
            seeds,
            [1, 2],
            "in order, without a label and a seed that the experiment lacks"
        );
        assert_eq!(data.title, "T");
        assert_eq!(data.runs[0].evaluations, small_record(1, 4.125).evaluations);
    }
}
