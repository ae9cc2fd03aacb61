//! What an experiment asks for: the files of `configs/experiments`.
//!
//! One with `stages` is a campaign: too long to be run in one go, and shown while it is incomplete.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
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
    /// Of a campaign: numbers of seeds at which its table is worth reading, such as 3, 5 and 10. Every group reaches one
    /// before any goes on to the next.
    #[serde(default)]
    pub(super) stages: Vec<u64>,
    /// Which policy of a run is scored: the best evaluated one, or the last.
    #[serde(default = "best")]
    pub(super) checkpoint: String,
    /// Curves.
    #[serde(deserialize_with = "groups")]
    pub(super) group: Vec<Group>,
    /// Conditions, besides the plain task, under which the trained policies are scored.
    #[serde(default)]
    pub(super) score: Vec<Score>,
}

fn best() -> String {
    "best".to_string()
}

/// A group as it stands in a file: on one environment, or the same on several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    One(Group),
    Several(GroupOnSeveral),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupOnSeveral {
    label: String,
    env: Vec<String>,
    algo: String,
    env_steps: u64,
    #[serde(default)]
    set: Vec<String>,
}

/// The groups of a file, one for each environment. Those on the first environment of a list come before the next, so that
/// they are one table.
fn groups<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Group>, D::Error> {
    let mut found = Vec::new();
    for listed in Vec::<Listed>::deserialize(deserializer)? {
        match listed {
            Listed::One(group) => found.push(group),
            Listed::Several(several) => found.extend(several.env.iter().map(|env| Group {
                label: several.label.clone(),
                env: env.clone(),
                algo: several.algo.clone(),
                env_steps: several.env_steps,
                set: several.set.clone(),
                returns_divided_by: None,
                same_as: None,
                is_one_of_several: true,
            })),
        }
    }
    let mut envs: Vec<String> = Vec::new();
    for group in &found {
        if !envs.contains(&group.env) {
            envs.push(group.env.clone());
        }
    }
    if found.iter().any(|group| group.is_one_of_several) {
        found.sort_by_key(|group| envs.iter().position(|env| *env == group.env));
    }
    Ok(found)
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
    /// Whether the file asks for the same on other environments too.
    #[serde(skip)]
    pub(super) is_one_of_several: bool,
}

impl Experiment {
    /// Whether it may be incomplete: see [`Experiment::stages`].
    pub(super) fn is_campaign(&self) -> bool {
        !self.stages.is_empty()
    }

    /// The seeds at which its table is worth reading.
    pub(super) fn stages(&self) -> &[u64] {
        match self.stages.as_slice() {
            [] => std::slice::from_ref(&self.seeds),
            stages => stages,
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(self.seeds > 0 && !self.group.is_empty(), "no runs are asked for");
        ensure!(
            self.stages.is_sorted_by(|a, b| a < b) && self.stages().first() != Some(&0),
            "stages are numbers of seeds that grow, found {:?}",
            self.stages
        );
        ensure!(
            self.stages().last() == Some(&self.seeds),
            "the last stage is that of all {} seeds, found {:?}",
            self.seeds,
            self.stages
        );
        for (index, group) in self.group.iter().enumerate() {
            let is_same = |other: &&Group| (&other.label, &other.env) == (&group.label, &group.env);
            ensure!(
                !self.group[..index].iter().any(|other| is_same(&other)),
                "{} on {} is there twice",
                group.label,
                group.env
            );
        }
        Ok(())
    }

    /// Brings a data file into line with the experiment as it is today: title, threshold, scale and order of the runs.
    /// Runs that the experiment does not ask for come last; none is dropped.
    pub(super) fn arrange(&self, data: &mut Data) {
        data.title = self.title.clone();
        data.threshold = self.threshold.clone();
        let position = |run: &Record| {
            let found = self
                .group
                .iter()
                .position(|group| (&group.label, &group.env) == (&run.label, &run.env));
            found.unwrap_or(self.group.len())
        };
        data.runs.sort_by_key(|run| (position(run), run.seed));
        for run in &mut data.runs {
            if let Some(group) = self.group.get(position(run)) {
                run.returns_divided_by = group.returns_divided_by;
            }
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
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) group: &'a Group,
    pub(super) seed: u64,
}

impl Run<'_> {
    /// Below the folder of all runs, where it is trained.
    pub(super) fn folder(&self) -> String {
        let (experiment, label) = match &self.group.same_as {
            Some((experiment, label)) => (experiment.as_str(), label.as_str()),
            None => (self.experiment.name.as_str(), self.group.label.as_str()),
        };
        match self.group.is_one_of_several {
            false => format!("{experiment}/{}-{}", plain(label), self.seed),
            true => format!("{experiment}/{}/{}-{}", plain(&self.group.env), plain(label), self.seed),
        }
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        format!(
            "{}: {} on {}, seed {}",
            self.experiment.name, self.group.label, self.group.env, self.seed
        )
    }

    /// Whether a record is in the place of this run, whatever its settings were.
    pub(super) fn is_in_place_of(&self, record: &Record) -> bool {
        (&record.label, &record.env, record.seed) == (&self.group.label, &self.group.env, Some(self.seed))
    }

    /// Arguments of `sac train` and `sac config` that say what it is.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Group {
            env,
            algo,
            env_steps,
            set,
            ..
        } = self.group;
        let mut arguments = ["--env", env, "--algo", algo].map(str::to_string).to_vec();
        arguments.extend(["--steps".to_string(), env_steps.to_string()]);
        arguments.extend(["--seed".to_string(), self.seed.to_string()]);
        for setting in set {
            arguments.extend(["--set".to_string(), setting.clone()]);
        }
        arguments
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

/// All experiments of a folder, by name.
///
/// # Errors
/// When files cannot be read or ask for what makes no sense: all of them are named.
pub(super) fn read(folder: &Path) -> Result<Vec<Experiment>> {
    let (mut experiments, mut problems) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let (Some(name), Some("toml")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        match read_one(&path) {
            Ok(experiment) => experiments.push(Experiment {
                name: name.to_string(),
                ..experiment
            }),
            Err(error) => problems.push(format!("{}: {error:#}", path.display())),
        }
    }
    problems.sort();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    experiments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(experiments)
}

fn read_one(path: &Path) -> Result<Experiment> {
    let text = fs::read_to_string(path)?;
    let experiment: Experiment = toml::from_str(&text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
    experiment.check()?;
    Ok(experiment)
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

    #[test]
    fn a_group_on_several_environments_is_one_for_each_and_a_table_for_each() {
        let text = "title = 'T'\nseeds = 5\nstages = [3, 5]\n\
                    [[group]]\nlabel = 'A'\nenv = ['E', 'F']\nalgo = 'sac'\nenv_steps = 10\n\
                    [[group]]\nlabel = 'B'\nenv = ['E', 'F']\nalgo = 'tqc'\nenv_steps = 10\n";
        let mut experiment: Experiment = toml::from_str(text).unwrap_or_else(|e| panic!("{e}"));
        experiment.name = "x".to_string();
        experiment.check().unwrap_or_else(|e| panic!("{e}"));
        assert!(experiment.is_campaign() && !small().is_campaign());
        let places: Vec<_> = experiment
            .group
            .iter()
            .map(|group| format!("{}{}", group.label, group.env))
            .collect();
        assert_eq!(places, ["AE", "BE", "AF", "BF"]);
        let first = runs_of(&experiment).next().map(|run| run.folder());
        assert_eq!(first.as_deref(), Some("x/E/A-1"));
    }

    #[test]
    fn all_files_that_ask_for_what_makes_no_sense_are_named_at_once() {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let group = "[[group]]\nlabel = 'A'\nenv = 'E'\nalgo = 'sac'\nenv_steps = 10\n";
        for (name, text) in [
            ("good", format!("title = 'T'\nseeds = 3\nstages = [1, 3]\n{group}")),
            ("stages", format!("title = 'T'\nseeds = 3\nstages = [3, 1]\n{group}")),
            ("last", format!("title = 'T'\nseeds = 3\nstages = [1, 2]\n{group}")),
            ("twice", format!("title = 'T'\nseeds = 3\n{group}{group}")),
            ("broken", "title = ".to_string()),
        ] {
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap_or_else(|e| panic!("{e}"));
        }
        let error = read(folder.path())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        for (name, problem) in [
            ("stages.toml", "stages are numbers of seeds that grow"),
            ("last.toml", "the last stage is that of all 3 seeds"),
            ("twice.toml", "A on E is there twice"),
            ("broken.toml", ""),
        ] {
            assert!(error.contains(name) && error.contains(problem), "{name}: {error}");
        }
        assert!(!error.contains("good.toml"), "{error}");
    }
}
