//! The runs that the files of `configs/experiments` ask for: [`read`], [`Run`].
//!
//! The format of the files, which `sac sweep` reads too, is in [`sac_report::experiment`]. One with `stages` is a campaign: too
//! long to be run in one go, and shown while it is incomplete.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sac_report::data::Record;
use sac_report::experiment::{Experiment, Group, check_folders};
use serde_json::Value;

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
        format!("{experiment}/{}-{}", place(self.group, label), self.seed)
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
        let listed = self.experiment.conditions.iter().map(Vec::as_slice);
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

/// Where the runs of a group are in the folder of its experiment, without their seeds.
fn place(group: &Group, label: &str) -> String {
    match group.is_of_listed_envs {
        false => plain(label),
        true => format!("{}/{}", plain(&group.env), plain(label)),
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
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        match read_one(&path) {
            Ok(experiment) => experiments.push(experiment),
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems.sort();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    experiments.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(experiments)
}

fn read_one(path: &Path) -> sac_report::Result<Experiment> {
    let mut experiment = Experiment::read_for(path, check)?;
    group_by_env(&mut experiment.groups);
    Ok(experiment)
}

/// Notes what only sweeps can do, and what a table of results needs.
fn check(experiment: &Experiment, problems: &mut Vec<String>) {
    if experiment.title.is_none() {
        problems.push("`title` is missing".to_string());
    }
    if experiment.threads != 1 {
        problems.push(format!(
            "`threads` = {}: runs of learning experiments update on one thread; `sac sweep` trains with more",
            experiment.threads
        ));
    }
    for Group { label, env, config, .. } in &experiment.groups {
        if let Some(config) = config {
            problems.push(format!(
                "`{label}` on {env}: `config` = {config:?}: a data file has no room for it; say its settings with `set`"
            ));
        }
    }
    // Groups that borrow their runs have none of their own.
    let own = experiment.groups.iter().filter(|group| group.same_as.is_none());
    check_folders(own, |group| place(group, &group.label), problems);
}

/// Where a table lists environments, puts the groups on the first of them before those on the next, so that they are one
/// table of results.
fn group_by_env(groups: &mut [Group]) {
    if !groups.iter().any(|group| group.is_of_listed_envs) {
        return;
    }
    let mut envs: Vec<String> = Vec::new();
    for group in groups.iter() {
        if !envs.contains(&group.env) {
            envs.push(group.env.clone());
        }
    }
    groups.sort_by_key(|group| envs.iter().position(|env| *env == group.env));
}

/// Every run that an experiment asks for, group by group.
pub(super) fn runs_of(experiment: &Experiment) -> impl Iterator<Item = Run<'_>> {
    let runs = move |group| {
        experiment.seeds.iter().map(move |seed| Run {
            experiment,
            group,
            seed: *seed,
        })
    };
    experiment.groups.iter().flat_map(runs)
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
            for group in &experiment.groups {
                let Some((name, label)) = &group.same_as else { continue };
                let original = experiments.iter().find(|other| other.name == *name);
                let twin = original.and_then(|other| other.groups.iter().find(|group| group.label == *label));
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
        read_text(text).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The experiment `x`.
    pub(in crate::curves) fn read_text(text: &str) -> sac_report::Result<Experiment> {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let path = folder.path().join("x.toml");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{e}"));
        read_one(&path)
    }

    #[test]
    fn a_record_tells_of_a_run_only_while_the_experiment_asks_for_the_same() {
        let experiment = small();
        let run = |seed| Run {
            experiment: &experiment,
            group: &experiment.groups[0],
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
        let experiment = read_text(text).unwrap_or_else(|e| panic!("{e}"));
        assert!(experiment.is_campaign() && !small().is_campaign());
        let places: Vec<_> = experiment
            .groups
            .iter()
            .map(|group| format!("{}{}", group.label, group.env))
            .collect();
        assert_eq!(places, ["AE", "BE", "AF", "BF"]);
        let first = runs_of(&experiment).next().map(|run| run.folder());
        assert_eq!(first.as_deref(), Some("x/E/A-1"));
    }

    #[test]
    fn combinations_and_listed_seeds_are_groups_and_runs_like_others() {
        let text = "title = 'T'\nseeds = [7, 3]\n\
                    [[group]]\nenv = ['E', 'F']\nalgo = ['sac', 'tqc']\nenv_steps = 10\nset = ['a=1']\n\
                    grid = { agent.gamma = [0.9, 0.99] }\n\
                    [[group]]\nlabel = 'L'\nenv = ['E']\nalgo = 'sac'\nenv_steps = 10\nlist = [{ b = 2 }]\n";
        let experiment = read_text(text).unwrap_or_else(|e| panic!("{e}"));
        let runs: Vec<Run> = runs_of(&experiment).collect();
        assert_eq!(runs.len(), (2 * 2 * 2 + 1) * 2);
        assert_eq!(runs[1].folder(), "x/E/sac__gamma_0.9-3");
        assert_eq!(
            runs[1].arguments().join(" "),
            "--env E --algo sac --steps 10 --seed 3 --set a=1 --set agent.gamma=0.9"
        );
        assert_eq!(runs[8].name(), "x: L, b=2 on E, seed 7", "before everything on F");
        let mut record = small_record(3, 1.0);
        record.label = "sac, gamma=0.9".to_string();
        record.set = Some(["a=1", "agent.gamma=0.9"].map(str::to_string).to_vec());
        record.scores.truncate(1);
        let told: Vec<String> = runs
            .iter()
            .filter(|run| run.is_told_by(&record))
            .map(Run::name)
            .collect();
        assert_eq!(told, ["x: sac, gamma=0.9 on E, seed 3"]);
    }

    #[test]
    fn what_only_sweeps_can_do_is_refused_in_plain_words() {
        let group = |label: &str, env: &str| {
            format!("[[group]]\nlabel = '{label}'\nenv = '{env}'\nalgo = 'sac'\nenv_steps = 10\n")
        };
        let text = format!(
            "threads = 2\nseeds = 1\n{}config = 'none'\n{}",
            group("A", "E"),
            group("A", "F")
        );
        let error = read_text(&text)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        for problem in [
            "x.toml: 4 problems",
            "`title` is missing",
            "`threads` = 2: runs of learning experiments update on one thread",
            "`A` on E: `config` = \"none\": a data file has no room for it",
            "`A` on E and `A` on F have the same folder",
        ] {
            assert!(error.contains(problem), "{problem}: {error}");
        }
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
            ("keys", format!("title = 'T'\nseed = 3\n{group}sets = []\n")),
            ("broken", "title = ".to_string()),
        ] {
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap_or_else(|e| panic!("{e}"));
        }
        let error = read(folder.path())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        for (name, problem) in [
            ("stages.toml", "`stages` = [3, 1]: expected numbers of seeds that grow"),
            (
                "last.toml",
                "`stages` = [1, 2]: expected the last one to be all 3 seeds",
            ),
            ("twice.toml", "`A` on E is there twice"),
            ("keys.toml: 3 problems", "no such key: `seed`; did you mean `seeds`?"),
            ("keys.toml", "group 1: no such key: `sets`; did you mean `set`?"),
            ("broken.toml: 1 problem", "TOML parse error"),
        ] {
            assert!(error.contains(name) && error.contains(problem), "{name}: {error}");
        }
        assert!(!error.contains("good.toml"), "{error}");
    }
}
