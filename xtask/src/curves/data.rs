//! The data files of `docs/curves`: where they are, an empty one where there is none yet, and their order.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sac_report::data::{Data, Record};
use sac_report::experiment::Experiment;

pub(super) fn data_file(curves: &Path, name: &str) -> PathBuf {
    curves.join(format!("{name}.json"))
}

/// A data file; empty where there is none.
pub(super) fn read_data(path: &Path) -> Result<Data> {
    match path.exists() {
        true => Ok(sac_report::data::read_sealed(path)?),
        false => Ok(Data::default()),
    }
}

/// Brings a data file into line with its experiment as it is today: title, threshold, scale and order of the runs. Runs that
/// the experiment does not ask for come last; none is dropped.
pub(super) fn arrange(experiment: &Experiment, data: &mut Data) {
    data.title = experiment.title.clone().unwrap_or_default();
    data.threshold = experiment.threshold.clone();
    let groups = &experiment.groups;
    let position = |run: &Record| {
        let found = groups
            .iter()
            .position(|group| (&group.label, &group.env) == (&run.label, &run.env));
        found.unwrap_or(groups.len())
    };
    data.runs.sort_by_key(|run| (position(run), run.seed));
    for run in &mut data.runs {
        if let Some(group) = groups.get(position(run)) {
            run.returns_divided_by = group.returns_divided_by;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use sac_report::data::{Threshold, write};

    use super::*;
    use crate::curves::experiment::runs_of;
    use crate::curves::experiment::tests::{experiments, small};

    #[test]
    fn every_run_of_every_experiment_is_recorded_as_it_is_asked_for() {
        let curves = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/curves");
        for experiment in experiments().into_iter().filter(|experiment| !experiment.is_campaign()) {
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
            assert_eq!(Some(data.title), experiment.title);
            let threshold = |threshold: &Option<Threshold>| threshold.as_ref().map(|it| (it.at, it.label.clone()));
            assert_eq!(threshold(&data.threshold), threshold(&experiment.threshold));
        }
    }

    pub(in crate::curves) fn small_record(seed: u64, seconds: f64) -> Record {
        let scored = |set: &[&str]| serde_json::json!({ "mean_return": 1.0, "set": set });
        let evaluations = serde_json::json!({
            "env_steps": [5, 10], "seconds": [seconds / 2.0, seconds], "mean_return": [-3.25, 2.0],
        });
        Record {
            label: "A (b)".to_string(),
            seed: Some(seed),
            env: "E".to_string(),
            algo: Some("sac".to_string()),
            env_steps: 10,
            set: Some(vec!["agent.gamma=0.9".to_string()]),
            threads: 1,
            checkpoint: Some("best".to_string()),
            evaluations: evaluations.as_object().cloned().unwrap_or_default(),
            scores: vec![scored(&[]), scored(&["env.wrappers=[]"])],
            ..Record::default()
        }
    }

    #[test]
    fn a_data_file_follows_its_experiment_and_loses_no_number() {
        let mut other = small_record(1, 1.0);
        other.label = "not in the experiment".to_string();
        let mut data = Data {
            runs: vec![other, small_record(2, 8.0), small_record(1, 4.125)],
            ..Data::default()
        };
        arrange(&small(), &mut data);
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let path = data_file(folder.path(), "x");
        write(&path, &data).unwrap_or_else(|e| panic!("{e:#}"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            text.lines().count(),
            10,
            "a line per run, and seven around them:\n{text}"
        );
        let data = read_data(&path).unwrap_or_else(|e| panic!("{e:#}"));
        let seeds: Vec<_> = data.runs.iter().filter_map(|run| run.seed).collect();
        assert_eq!(
            seeds,
            [1, 2, 1],
            "in order, and last what the experiment does not ask for"
        );
        assert_eq!(data.title, "T");
        assert_eq!(data.runs[0].evaluations, small_record(1, 4.125).evaluations);
    }
}
