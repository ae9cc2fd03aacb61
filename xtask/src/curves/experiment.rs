//! What an experiment asks for: the files of `configs/experiments`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use sac_report::data::{Data, Record, Threshold};

/// One picture and one data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    /// The file's name without its ending.
    #[serde(skip)]
    pub(super) name: String,
    /// Above the picture.
    pub(super) title: String,
    /// A dashed line in the picture.
    pub(super) threshold: Option<Threshold>,
    /// Every group runs with seeds from 1 to this.
    pub(super) seeds: u64,
    /// Which policy of a run is scored: the best evaluated one, or the last.
    #[serde(default = "best")]
    pub(super) checkpoint: String,
    /// Curves.
    pub(super) group: Vec<Group>,
    /// Conditions, besides the plain task, under which the trained policies are scored.
    #[serde(default)]
    pub(super) score: Vec<Score>,
}

fn best() -> String {
    "best".to_string()
}

/// Runs that differ in their seed only.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// In the picture; letters, digits, `-` and `.` also in names of folders.
    pub(super) label: String,
    pub(super) env: String,
    pub(super) algo: String,
    pub(super) env_steps: u64,
    /// `--set`, any number of times.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// Divisor of the returns in the picture, where rewards are scaled.
    #[serde(default)]
    pub(super) returns_divided_by: Option<f64>,
    /// Experiment and label of a group with the same settings, whose trained runs serve here too.
    #[serde(default)]
    pub(super) same_as: Option<(String, String)>,
}

impl Experiment {
    /// Brings a data file into line with the experiment as it is today: title, threshold, scale and order of the runs.
    /// Runs of labels or seeds that the experiment no longer has are dropped.
    pub(super) fn arrange(&self, data: &mut Data) {
        data.title = self.title.clone();
        data.threshold = self.threshold.clone();
        let position = |label: &str| self.group.iter().position(|group| group.label == label);
        data.runs
            .retain(|run| position(&run.label).is_some() && run.seed.is_some_and(|seed| seed <= self.seeds));
        data.runs.sort_by_key(|run| (position(&run.label), run.seed));
        for run in &mut data.runs {
            let group = self.group.iter().find(|group| group.label == run.label);
            run.returns_divided_by = group.and_then(|group| group.returns_divided_by);
        }
    }
}

/// Changes to the environment under which policies are scored.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Score {
    /// `sac eval --set`.
    pub(super) set: Vec<String>,
}

/// One run of a group.
pub(super) struct Run<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) group: &'a Group,
    pub(super) seed: u64,
}

impl Run<'_> {
    /// Below `target/curves`, where it is trained.
    pub(super) fn folder(&self) -> String {
        let (experiment, label) = match &self.group.same_as {
            Some((experiment, label)) => (experiment.as_str(), label.as_str()),
            None => (self.experiment.name.as_str(), self.group.label.as_str()),
        };
        format!("{experiment}/{}-{}", plain(label), self.seed)
    }

    /// The conditions under which its policy is scored: the plain task, then the experiment's list.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &[String]> {
        let listed = self.experiment.score.iter().map(|score| score.set.as_slice());
        std::iter::once([].as_slice()).chain(listed)
    }

    /// Whether a record is of this run as the experiment asks for it today.
    pub(super) fn is_told_by(&self, record: &Record) -> bool {
        let Group {
            label,
            env,
            algo,
            env_steps,
            set,
            ..
        } = self.group;
        let scored = record.scores.iter().map(|score| score["set"].clone());
        let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
        (&record.label, record.seed) == (label, Some(self.seed))
            && is(&record.checkpoint, &self.experiment.checkpoint)
            && is(&record.algo, algo)
            && (&record.env, record.env_steps, record.set.as_ref()) == (env, *env_steps, Some(set))
            && scored.eq(self.conditions().map(|set| Value::from(set.to_vec())))
    }
}

/// A label as part of a folder's name.
fn plain(label: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '_',
    };
    label.chars().map(plain).collect()
}

pub(super) fn read(folder: &Path) -> Result<Vec<Experiment>> {
    let mut experiments = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let (Some(name), Some("toml")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut experiment: Experiment = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        experiment.name = name.to_string();
        experiments.push(experiment);
    }
    experiments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(experiments)
}

/// Every run that an experiment asks for, group by group.
pub(super) fn runs_of(experiment: &Experiment) -> impl Iterator<Item = Run<'_>> {
    experiment.group.iter().flat_map(move |group| {
        (1..=experiment.seeds).map(move |seed| Run {
            experiment,
            group,
            seed,
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::curves::data::tests::small_record;

    pub(in crate::curves) fn experiments() -> Vec<Experiment> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/experiments");
        read(&folder).unwrap_or_else(|e| panic!("{e:#}"))
    }

    #[test]
    fn every_experiment_can_be_read_and_refers_to_groups_that_are() {
        let experiments = experiments();
        assert!(!experiments.is_empty());
        for experiment in &experiments {
            let mut labels: Vec<_> = experiment.group.iter().map(|group| &group.label).collect();
            labels.sort();
            labels.dedup();
            assert_eq!(
                labels.len(),
                experiment.group.len(),
                "{}: labels differ",
                experiment.name
            );
            for group in &experiment.group {
                let Some((name, label)) = &group.same_as else { continue };
                let original = experiments.iter().find(|other| other.name == *name);
                let twin = original.and_then(|other| other.group.iter().find(|group| group.label == *label));
                let twin = twin.unwrap_or_else(|| panic!("{}: there is no {label} in {name}", experiment.name));
                assert_eq!(
                    (&twin.env, &twin.algo, twin.env_steps, &twin.set),
                    (&group.env, &group.algo, group.env_steps, &group.set)
                );
            }
        }
    }

    pub(in crate::curves) fn small() -> Experiment {
        let text = "title = 'T'\nseeds = 2\n[threshold]\nreturn = -1.5\nlabel = 'L'\n[[group]]\nlabel = 'A (b)'\n\
                    env = 'E'\nalgo = 'sac'\nenv_steps = 10\nset = ['agent.gamma=0.9']\n[[score]]\n\
                    set = ['env.wrappers=[]']\n";
        let mut experiment: Experiment = toml::from_str(text).unwrap_or_else(|e| panic!("{e}"));
        experiment.name = "x".to_string();
        experiment
    }

    #[test]
    fn a_record_tells_of_a_run_only_while_the_experiment_asks_for_the_same() {
        let experiment = small();
        let run = |seed| Run {
            experiment: &experiment,
            group: &experiment.group[0],
            seed,
        };
        assert_eq!(run(3).folder(), "x/A__b_-3");
        let record = small_record(3, 1.0);
        assert!(run(3).is_told_by(&record));
        assert!(!run(4).is_told_by(&record));
        let changed = |change: fn(&mut Record)| {
            let mut record = record.clone();
            change(&mut record);
            !run(3).is_told_by(&record)
        };
        assert!(changed(|record| record.label.clear()));
        assert!(changed(|record| record.env_steps = 11));
        assert!(changed(|record| record.set = Some(Vec::new())));
        assert!(changed(|record| record.checkpoint = Some("last".to_string())));
        assert!(changed(|record| record.scores.truncate(1)));
    }
}
