//! `cargo xtask curves`: the long learning runs whose results are committed as data with a picture.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

use crate::setup;
use crate::workspace::Workspace;

/// One picture: an environment with its shipped experiment.
struct Experiment {
    name: &'static str,
    env: &'static str,
    env_steps: u64,
    /// Return at which the task counts as solved, for the dashed line.
    threshold: &'static str,
    /// From 1.
    seeds: u64,
}

const EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "pendulum",
        env: "Pendulum-v1",
        env_steps: 10_000,
        threshold: "-180",
        seeds: 5,
    },
    Experiment {
        name: "mountain_car_continuous",
        env: "MountainCarContinuous-v0",
        env_steps: 50_000,
        threshold: "90",
        seeds: 5,
    },
    Experiment {
        name: "inverted_pendulum",
        env: "InvertedPendulum-v5",
        env_steps: 20_000,
        threshold: "1000",
        seeds: 3,
    },
];

impl Experiment {
    fn seeds(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.seeds
    }
}

/// Trains every experiment with every seed on one thread each, as many at once as there are cores, scores the best
/// policies on 20 episodes, and writes `docs/curves/<name>.{svg,csv}` and `<name>.scores.jsonl`. Runs that are complete
/// below `target/curves` are not repeated.
pub fn run(workspace: &Workspace, only: Option<&str>) -> Result<ExitCode> {
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bin", "sac", "--example", "learning_curves"]);
    ensure!(
        build.status().context("cannot run cargo")?.success(),
        "the build failed"
    );
    let chosen: Vec<&Experiment> = EXPERIMENTS
        .iter()
        .filter(|experiment| only.is_none_or(|name| name == experiment.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = EXPERIMENTS.iter().map(|experiment| experiment.name).collect();
        bail!("no such experiment; there are {}", names.join(", "));
    }
    let release = workspace.target()?.join("release");
    let runs = workspace.target()?.join("curves");
    fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;

    let jobs = Mutex::new(
        chosen
            .iter()
            .flat_map(|experiment| experiment.seeds().map(move |seed| (*experiment, seed)))
            .collect::<Vec<_>>(),
    );
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let job = jobs.lock().ok().and_then(|mut jobs| jobs.pop());
                let Some((experiment, seed)) = job else { return Ok(()) };
                train(&release, &runs, experiment, seed)?;
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

fn folder(runs: &Path, experiment: &Experiment, seed: u64) -> PathBuf {
    runs.join(format!("{}-{seed}", experiment.name))
}

fn train(release: &Path, runs: &Path, experiment: &Experiment, seed: u64) -> Result<()> {
    let folder = folder(runs, experiment, seed);
    if folder
        .join("checkpoints")
        .join(experiment.env_steps.to_string())
        .is_dir()
    {
        return Ok(());
    }
    say!("training {} with seed {seed}", experiment.env);
    let mut command = Command::new(release.join("sac"));
    if folder.exists() {
        command.arg("train").arg("--resume").arg(&folder);
    } else {
        command.args(["train", "--env", experiment.env, "--threads", "1"]);
        command.args([
            "--steps",
            &experiment.env_steps.to_string(),
            "--seed",
            &seed.to_string(),
        ]);
        command.arg("--run-dir").arg(&folder);
    }
    let status = command
        .arg("--quiet")
        .stdout(Stdio::null())
        .status()
        .context("cannot run sac")?;
    ensure!(
        status.success(),
        "training {} with seed {seed} failed ({status})",
        experiment.env
    );
    Ok(())
}

fn score_and_draw(workspace: &Workspace, release: &Path, runs: &Path, experiment: &Experiment) -> Result<()> {
    let curves = workspace.root().join("docs/curves");
    fs::create_dir_all(&curves).with_context(|| format!("cannot make {}", curves.display()))?;
    let mut scores = Vec::new();
    for seed in experiment.seeds() {
        let mut command = Command::new(release.join("sac"));
        // From the folder of the runs, so that no path of this machine gets into the data.
        command.current_dir(runs).args([
            "eval",
            &format!("{}-{seed}", experiment.name),
            "--episodes",
            "20",
            "--json",
        ]);
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run sac eval")?;
        ensure!(
            output.status.success(),
            "scoring {} with seed {seed} failed",
            experiment.env
        );
        scores.write_all(&output.stdout)?;
    }
    let path = curves.join(format!("{}.scores.jsonl", experiment.name));
    fs::write(&path, &scores).with_context(|| format!("cannot write {}", path.display()))?;
    let list: Vec<String> = experiment
        .seeds()
        .map(|seed| folder(runs, experiment, seed).display().to_string())
        .collect();
    let mut draw = Command::new(release.join("examples/learning_curves"));
    draw.arg("--out").arg(curves.join(format!("{}.svg", experiment.name)));
    draw.args(["--title", experiment.env, "--threshold", experiment.threshold]);
    ensure!(
        draw.arg(format!("SAC={}", list.join(","))).status()?.success(),
        "drawing {} failed",
        experiment.env
    );
    say!("{}: {}", experiment.env, path.display());
    Ok(())
}
