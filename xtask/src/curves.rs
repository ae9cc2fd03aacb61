//! `cargo xtask curves`: the long learning runs whose results are committed as data with a picture.
//!
//! An experiment is a file in `configs/experiments`: groups of runs that differ in their seed only, and under what the
//! trained policies are scored.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::setup;
use crate::workspace::Workspace;

/// One picture and one table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    /// The file's name without its ending.
    #[serde(skip)]
    name: String,
    /// Above the picture.
    title: String,
    /// Return at which the task counts as solved, for the dashed line.
    threshold: Option<f64>,
    /// Every group runs with seeds from 1 to this.
    seeds: u64,
    /// Whose policy is scored: the best evaluated one, or the last.
    #[serde(default = "best")]
    checkpoint: String,
    /// Curves.
    group: Vec<Group>,
    /// Under what else the trained policies are scored.
    #[serde(default)]
    score: Vec<Score>,
}

fn best() -> String {
    "best".to_string()
}

/// Runs that differ in their seed only.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// In the picture; letters, digits and `-` also in names of folders.
    label: String,
    env: String,
    algo: String,
    env_steps: u64,
    /// `--set`, as many as there are.
    #[serde(default)]
    set: Vec<String>,
    /// Runs of another experiment with the same settings, by that experiment's name and the group's label there.
    #[serde(default)]
    same_as: Option<(String, String)>,
}

/// Changes to the environment under which policies are scored.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Score {
    /// `sac eval --set`.
    set: Vec<String>,
}

struct Run<'a> {
    experiment: &'a Experiment,
    group: &'a Group,
    seed: u64,
}

impl Run<'_> {
    /// Below `target/curves`.
    fn folder(&self) -> String {
        let (experiment, label) = match &self.group.same_as {
            Some((experiment, label)) => (experiment.as_str(), label.as_str()),
            None => (self.experiment.name.as_str(), self.group.label.as_str()),
        };
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '.' {
                c
            } else {
                '_'
            }
        };
        let label: String = label.chars().map(plain).collect();
        format!("{experiment}/{label}-{}", self.seed)
    }
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

/// Trains every experiment, or the one that is named, with every seed on one thread each, as many at once as there are
/// cores, scores the policies on 20 episodes, and writes `docs/curves/<name>.{svg,csv}` and `<name>.scores.jsonl`. Runs
/// that are complete below `target/curves` are not repeated; those that were cut off go on.
pub fn run(workspace: &Workspace, only: Option<&str>) -> Result<ExitCode> {
    let all = read(&workspace.root().join("configs/experiments"))?;
    let chosen: Vec<&Experiment> = all
        .iter()
        .filter(|experiment| only.is_none_or(|name| name == experiment.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|experiment| experiment.name.as_str()).collect();
        bail!("no such experiment; there are {}", names.join(", "));
    }
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bin", "sac", "--example", "learning_curves"]);
    ensure!(
        build.status().context("cannot run cargo")?.success(),
        "the build failed"
    );
    let release = workspace.target()?.join("release");
    let runs = workspace.target()?.join("curves");

    // Seed by seed, so that every group has a run before any has two.
    let mut jobs = VecDeque::new();
    for experiment in &chosen {
        for seed in 1..=experiment.seeds {
            let of_seed = |group| Run {
                experiment,
                group,
                seed,
            };
            jobs.extend(experiment.group.iter().map(of_seed));
        }
    }
    let jobs = Mutex::new(jobs);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let job = jobs.lock().ok().and_then(|mut jobs| jobs.pop_front());
                let Some(job) = job else { return Ok(()) };
                train(&release, &runs, &job)?;
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })?;
    for experiment in chosen {
        score_and_draw(workspace, &release, &runs, experiment)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn train(release: &Path, runs: &Path, run: &Run) -> Result<()> {
    let Group { env, algo, set, .. } = run.group;
    let (folder, steps) = (runs.join(run.folder()), run.group.env_steps.to_string());
    if folder.join("checkpoints").join(&steps).is_dir() {
        return Ok(());
    }
    say!("training {}", run.folder());
    let mut command = Command::new(release.join("sac"));
    if folder.exists() {
        command.arg("train").arg("--resume").arg(&folder);
    } else {
        fs::create_dir_all(runs.join(&run.experiment.name))
            .with_context(|| format!("cannot make {}", runs.display()))?;
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

fn score_and_draw(workspace: &Workspace, release: &Path, runs: &Path, experiment: &Experiment) -> Result<()> {
    let curves = workspace.root().join("docs/curves");
    fs::create_dir_all(&curves).with_context(|| format!("cannot make {}", curves.display()))?;
    let mut scores = Vec::new();
    let mut draw = Command::new(release.join("examples/learning_curves"));
    draw.arg("--out").arg(curves.join(format!("{}.svg", experiment.name)));
    draw.args(["--title", &experiment.title]);
    if let Some(threshold) = experiment.threshold {
        draw.args(["--threshold", &threshold.to_string()]);
    }
    let plain = Score::default();
    for group in &experiment.group {
        let of_group: Vec<Run> = (1..=experiment.seeds)
            .map(|seed| Run {
                experiment,
                group,
                seed,
            })
            .collect();
        for score in std::iter::once(&plain).chain(&experiment.score) {
            for run in &of_group {
                scores.write_all(&evaluate(release, runs, run, score)?)?;
            }
        }
        let folders: Vec<String> = of_group
            .iter()
            .map(|run| runs.join(run.folder()).display().to_string())
            .collect();
        draw.arg(format!("{}={}", group.label, folders.join(",")));
    }
    let path: PathBuf = curves.join(format!("{}.scores.jsonl", experiment.name));
    fs::write(&path, &scores).with_context(|| format!("cannot write {}", path.display()))?;
    ensure!(draw.status()?.success(), "drawing {} failed", experiment.name);
    say!("{}: {}", experiment.name, path.display());
    Ok(())
}

/// One line of JSON. From the folder of the runs, so that no path of this machine gets into the data.
fn evaluate(release: &Path, runs: &Path, run: &Run, score: &Score) -> Result<Vec<u8>> {
    let mut command = Command::new(release.join("sac"));
    command
        .current_dir(runs)
        .args(["eval", &run.folder(), "--episodes", "20", "--json"]);
    command.args(["--checkpoint", &run.experiment.checkpoint]);
    score.set.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run sac eval")?;
    ensure!(output.status.success(), "scoring {} failed", run.folder());
    let text = String::from_utf8(output.stdout).context("sac eval wrote something else than text")?;
    let rest = text
        .strip_prefix('{')
        .context("sac eval wrote something else than an object")?;
    Ok(format!("{{\"label\":{:?},\"seed\":{},{rest}", run.group.label, run.seed).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_can_be_read_and_refers_to_groups_that_are() {
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
}
