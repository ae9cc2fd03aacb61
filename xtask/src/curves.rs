//! `cargo xtask curves`: the long learning runs. Their results are committed as data and pictures.
//!
//! An experiment is a file in `configs/experiments`. It has groups of runs that differ only in their seed, and the conditions
//! under which the trained policies are scored.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::setup;
use crate::workspace::Workspace;

/// An experiment, which has one picture and one table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    /// Name of the file without its extension.
    #[serde(skip)]
    name: String,
    /// Title of the picture.
    title: String,
    /// Return at which the task counts as solved, drawn as a dashed line.
    threshold: Option<f64>,
    /// Number of runs of every group; their seeds count from 1.
    seeds: u64,
    /// The policy that is scored: `best` or `last`.
    #[serde(default = "best")]
    checkpoint: String,
    /// The curves.
    group: Vec<Group>,
    /// Further conditions under which the trained policies are scored.
    #[serde(default)]
    score: Vec<Score>,
}

fn best() -> String {
    "best".to_string()
}

/// Runs that differ only in their seed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// Label in the picture, and part of the name of a folder.
    label: String,
    env: String,
    algo: String,
    env_steps: u64,
    /// Arguments of `--set`.
    #[serde(default)]
    set: Vec<String>,
    /// Divisor of the returns in the picture and its table, for scaled rewards.
    #[serde(default)]
    returns_divided_by: Option<f64>,
    /// A group of another experiment with the same settings, whose runs are used: the experiment's name and the group's
    /// label.
    #[serde(default)]
    same_as: Option<(String, String)>,
}

/// Conditions under which policies are scored.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Score {
    /// Arguments of `sac eval --set`.
    set: Vec<String>,
}

struct Run<'a> {
    experiment: &'a Experiment,
    group: &'a Group,
    seed: u64,
}

/// The record of a run, committed with its `eval.csv`: its settings, so that a change of the experiment is detected, and the
/// code and machine that it ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    label: String,
    seed: u64,
    env: String,
    algo: String,
    env_steps: u64,
    set: Vec<String>,
    commit: String,
    processor: String,
    threads: u64,
    checkpoint: String,
    /// Output of `sac eval --json` for each of [`Run::conditions`].
    scores: Vec<serde_json::Value>,
}

impl Run<'_> {
    /// The folder in `target/curves` in which it is trained.
    fn folder(&self) -> String {
        let (experiment, label) = match &self.group.same_as {
            Some((experiment, label)) => (experiment.as_str(), label.as_str()),
            None => (self.experiment.name.as_str(), self.group.label.as_str()),
        };
        format!("{experiment}/{}-{}", plain(label), self.seed)
    }

    /// The folder in `docs/curves/runs` with its results.
    fn record(&self) -> String {
        format!("{}/{}-{}", self.experiment.name, plain(&self.group.label), self.seed)
    }

    /// The conditions under which its policy is scored: the unchanged task, then the list of the experiment.
    fn conditions(&self) -> impl Iterator<Item = &[String]> {
        let listed = self.experiment.score.iter().map(|score| score.set.as_slice());
        std::iter::once([].as_slice()).chain(listed)
    }

    /// Whether a record has the settings of this run.
    fn matches(&self, record: &Record) -> bool {
        let Group {
            env,
            algo,
            env_steps,
            set,
            ..
        } = self.group;
        let scored = record.scores.iter().map(|score| score["set"].clone());
        (&record.env, &record.algo, record.env_steps, &record.set) == (env, algo, *env_steps, set)
            && (record.seed, &record.checkpoint) == (self.seed, &self.experiment.checkpoint)
            && scored.eq(self.conditions().map(|set| serde_json::Value::from(set.to_vec())))
    }
}

/// A label as part of the name of a folder.
fn plain(label: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '_',
    };
    label.chars().map(plain).collect()
}

fn read(folder: &Path) -> Result<Vec<Experiment>> {
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

/// Options of `cargo xtask curves`.
#[derive(Default)]
pub struct Options {
    /// The only experiment to run.
    pub only: Option<String>,
    /// Whether to train nothing. Complete runs are then recorded, and recorded runs are drawn.
    pub recorded: bool,
}

/// The folders that are used.
struct Places {
    release: PathBuf,
    /// Run folders, not committed.
    runs: PathBuf,
    /// Pictures and tables.
    curves: PathBuf,
}

/// Runs every experiment, or the chosen one. Each run trains on one thread, with as many runs at once as there are cores. The
/// policies are scored on 20 episodes, each run is recorded in `docs/curves/runs`, and all recorded runs are drawn as
/// `docs/curves/<name>.{svg,csv}` and `<name>.scores.jsonl`. Recorded runs are not repeated; interrupted runs are resumed.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let all = read(&workspace.root().join("configs/experiments"))?;
    let is_chosen = |experiment: &&Experiment| options.only.as_ref().is_none_or(|name| *name == experiment.name);
    let chosen: Vec<&Experiment> = all.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|experiment| experiment.name.as_str()).collect();
        bail!("unknown experiment; expected one of {}", names.join(", "));
    }
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bin", "sac", "--example", "learning_curves"]);
    ensure!(
        build.status().context("cannot run cargo")?.success(),
        "the build failed"
    );
    let places = Places {
        release: workspace.target()?.join("release"),
        runs: workspace.target()?.join("curves"),
        curves: workspace.root().join("docs/curves"),
    };

    // Seed by seed, so that every group has its first run before any second one.
    let mut jobs = VecDeque::new();
    for experiment in &chosen {
        for seed in 1..=experiment.seeds {
            jobs.extend(experiment.group.iter().map(|group| Run {
                experiment,
                group,
                seed,
            }));
        }
    }
    let jobs = Mutex::new(jobs);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let job = jobs.lock().ok().and_then(|mut jobs| jobs.pop_front());
                let Some(job) = job else { return Ok(()) };
                if !is_recorded(&places, &job) && (is_complete(&places, &job) || !options.recorded) {
                    train(&places, &job)?;
                    record(&places, &job)?;
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    for experiment in chosen {
        draw(&places, experiment)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_recorded(places: &Places, run: &Run) -> bool {
    read_record(places, run).is_ok_and(|record| run.matches(&record))
}

fn read_record(places: &Places, run: &Run) -> Result<Record> {
    let path = places.curves.join("runs").join(run.record()).join("run.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
}

fn is_complete(places: &Places, run: &Run) -> bool {
    let checkpoints = places.runs.join(run.folder()).join("checkpoints");
    checkpoints.join(run.group.env_steps.to_string()).is_dir()
}

fn train(places: &Places, run: &Run) -> Result<()> {
    if is_complete(places, run) {
        return Ok(());
    }
    let Group { env, algo, set, .. } = run.group;
    let (folder, steps) = (places.runs.join(run.folder()), run.group.env_steps.to_string());
    say!("training {}", run.folder());
    let mut command = Command::new(places.release.join("sac"));
    if folder.exists() {
        command.arg("train").arg("--resume").arg(&folder);
    } else {
        let parent = folder.parent().context("a folder in target/curves has a parent")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        command.args(["train", "--env", env, "--algo", algo, "--threads", "1"]);
        command.args(["--steps", &steps, "--seed", &run.seed.to_string()]);
        set.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        command.arg("--run-dir").arg(&folder);
    }
    let status = command
        .arg("--quiet")
        .stdout(Stdio::null())
        .status()
        .context("cannot run sac")?;
    ensure!(status.success(), "training {} failed ({status})", run.folder());
    Ok(())
}

/// The part of a run's `provenance.json` that is recorded.
#[derive(Deserialize)]
struct Provenance {
    commit: String,
    processor: String,
    threads: u64,
}

/// Scores the policy of a run and writes its record.
fn record(places: &Places, run: &Run) -> Result<()> {
    let folder = places.runs.join(run.folder());
    let path = folder.join("provenance.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let Provenance {
        commit,
        processor,
        threads,
    } = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let Group {
        label,
        env,
        algo,
        env_steps,
        set,
        ..
    } = run.group.clone();
    let record = Record {
        label,
        seed: run.seed,
        env,
        algo,
        env_steps,
        set,
        commit,
        processor,
        threads,
        checkpoint: run.experiment.checkpoint.clone(),
        scores: run
            .conditions()
            .map(|set| evaluate(places, run, set))
            .collect::<Result<_>>()?,
    };
    let to = places.curves.join("runs").join(run.record());
    fs::create_dir_all(&to).with_context(|| format!("cannot create {}", to.display()))?;
    fs::copy(folder.join("eval.csv"), to.join("eval.csv")).context("cannot copy eval.csv")?;
    // Written last, because its existence means that the record is complete.
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(to.join("run.json"), text).with_context(|| format!("cannot write to {}", to.display()))
}

/// Scores the policy of a run with `sac eval` under these conditions.
fn evaluate(places: &Places, run: &Run, set: &[String]) -> Result<serde_json::Value> {
    let mut command = Command::new(places.release.join("sac"));
    command
        .current_dir(&places.runs)
        .args(["eval", &run.folder(), "--episodes", "20", "--json"]);
    command.args(["--checkpoint", &run.experiment.checkpoint]);
    set.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run sac eval")?;
    ensure!(output.status.success(), "scoring {} failed", run.folder());
    serde_json::from_slice(&output.stdout).context("the output of sac eval is not JSON")
}

/// Writes picture, table and scores of the recorded runs of an experiment.
fn draw(places: &Places, experiment: &Experiment) -> Result<()> {
    let mut scores = Vec::new();
    let mut command = Command::new(places.release.join("examples/learning_curves"));
    command
        .arg("--out")
        .arg(places.curves.join(format!("{}.svg", experiment.name)));
    command.args(["--title", &experiment.title]);
    if let Some(threshold) = experiment.threshold {
        command.args(["--threshold", &threshold.to_string()]);
    }
    let mut groups = 0;
    for group in &experiment.group {
        let mut folders = Vec::new();
        for seed in 1..=experiment.seeds {
            let run = Run {
                experiment,
                group,
                seed,
            };
            let Ok(record) = read_record(places, &run) else {
                continue;
            };
            for score in &record.scores {
                let mut line = serde_json::json!({ "label": record.label, "seed": seed, "commit": record.commit });
                if let (Some(line), Some(score)) = (line.as_object_mut(), score.as_object()) {
                    line.extend(score.clone());
                }
                writeln!(scores, "{line}")?;
            }
            folders.push(places.curves.join("runs").join(run.record()).display().to_string());
        }
        if folders.len() < experiment.seeds as usize {
            let (name, label) = (&experiment.name, &group.label);
            say!(
                "{name}: {} of {} runs of {label} are recorded",
                folders.len(),
                experiment.seeds
            );
        }
        if !folders.is_empty() {
            if let Some(factor) = group.returns_divided_by {
                command.arg("--divide").arg(format!("{}={factor}", group.label));
            }
            command.arg(format!("{}={}", group.label, folders.join(",")));
            groups += 1;
        }
    }
    if groups == 0 {
        return Ok(());
    }
    let path = places.curves.join(format!("{}.scores.jsonl", experiment.name));
    fs::write(&path, &scores).with_context(|| format!("cannot write {}", path.display()))?;
    ensure!(command.status()?.success(), "drawing {} failed", experiment.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_can_be_read_and_refers_to_groups_that_exist() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/experiments");
        let experiments = read(&folder).unwrap_or_else(|e| panic!("{e:#}"));
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

    #[test]
    fn a_record_matches_a_run_only_with_the_same_settings() {
        let text = "title = ''\nseeds = 1\n[[group]]\nlabel = 'A (b)'\nenv = 'E'\nalgo = 'sac'\nenv_steps = 10\n\
                    set = ['agent.gamma=0.9']\n[[score]]\nset = ['env.wrappers=[]']\n";
        let mut experiment: Experiment = toml::from_str(text).unwrap_or_else(|e| panic!("{e}"));
        experiment.name = "x".to_string();
        let run = |seed| Run {
            experiment: &experiment,
            group: &experiment.group[0],
            seed,
        };
        assert_eq!(run(3).record(), "x/A__b_-3");
        let scored = |set: &[&str]| serde_json::json!({ "mean_return": 1.0, "set": set });
        let record = Record {
            label: "A (b)".to_string(),
            seed: 3,
            env: "E".to_string(),
            algo: "sac".to_string(),
            env_steps: 10,
            set: vec!["agent.gamma=0.9".to_string()],
            commit: String::new(),
            processor: String::new(),
            threads: 1,
            checkpoint: "best".to_string(),
            scores: vec![scored(&[]), scored(&["env.wrappers=[]"])],
        };
        assert!(run(3).matches(&record));
        assert!(!run(4).matches(&record));
        let changed = |change: fn(&mut Record)| {
            let mut record = record.clone();
            change(&mut record);
            !run(3).matches(&record)
        };
        assert!(changed(|record| record.env_steps = 11));
        assert!(changed(|record| record.set.clear()));
        assert!(changed(|record| record.checkpoint = "last".to_string()));
        assert!(changed(|record| record.scores.truncate(1)));
    }
}
