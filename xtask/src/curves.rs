//! `cargo xtask curves`: the long learning runs whose results are committed, as data with a picture.
//!
//! An experiment is a file in `configs/experiments`: groups of runs that differ in their seed only, and the conditions
//! under which the trained policies are scored. Its results are `docs/curves/<name>.json`, one run a line, and the
//! picture drawn from that file.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use sac_report::data::{self as file, Data, Record};
use sac_report::folder;
use serde_json::Value;

use crate::setup;
use crate::workspace::Workspace;

mod data;
mod experiment;
mod list;

use data::{data_file, read_data};
use experiment::{Experiment, Group, Run, read};

/// What `cargo xtask curves` is to do.
#[derive(Default)]
pub struct Options {
    /// The experiment to run.
    pub only: Option<String>,
    /// All experiments, one after the other.
    pub all: bool,
    /// Trains nothing: records the runs that are complete, and draws what is recorded.
    pub recorded: bool,
}

/// Where things are.
struct Places {
    release: PathBuf,
    /// Folders of runs, not committed.
    runs: PathBuf,
    /// Data files and pictures.
    curves: PathBuf,
    /// Held while a data file is read, changed and written.
    writing: Mutex<()>,
}

/// Runs an experiment, or lists all of them.
///
/// An experiment trains every group with every seed, on one thread each and as many at once as there are cores, scores
/// the policies on 20 episodes, and writes data and picture into `docs/curves`. Runs that are recorded there are not
/// repeated; interrupted ones go on.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let all = read(&workspace.root().join("configs/experiments"))?;
    let curves = workspace.root().join("docs/curves");
    if options.only.is_none() && !options.all && !options.recorded {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        print!("{}", list::list(&all, &curves, cores)?);
        return Ok(ExitCode::SUCCESS);
    }
    let is_chosen = |experiment: &&Experiment| options.only.as_ref().is_none_or(|name| *name == experiment.name);
    let chosen: Vec<&Experiment> = all.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!("no such experiment; `cargo xtask curves` lists them");
    }
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--bin", "sac"]);
    ensure!(
        build.status().context("cannot run cargo")?.success(),
        "the build failed"
    );
    let places = Places {
        release: workspace.target()?.join("release"),
        runs: workspace.target()?.join("curves"),
        curves,
        writing: Mutex::default(),
    };

    // Seed by seed, so that every group has a run before any has two.
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
                if !is_recorded(&places, &job)? && (is_complete(&places, &job) || !options.recorded) {
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
        say_what_is_missing(&places, experiment)?;
    }
    results(workspace, &[])
}

fn is_recorded(places: &Places, run: &Run) -> Result<bool> {
    let data = read_data(&data_file(&places.curves, &run.experiment.name))?;
    Ok(data.runs.iter().any(|record| run.is_told_by(record)))
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
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
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

/// Scores a run's policy and writes what is to be committed of the run.
fn record(places: &Places, run: &Run) -> Result<()> {
    let path = places.runs.join(run.folder());
    let found = folder::read(&path)?;
    ensure!(found.is_finished, "{} has not reached its end", path.display());
    let Group {
        label,
        env,
        algo,
        env_steps,
        set,
        returns_divided_by,
        ..
    } = run.group.clone();
    let record = Record {
        label,
        seed: Some(run.seed),
        env,
        algo: Some(algo),
        env_steps,
        set: Some(set),
        returns_divided_by,
        checkpoint: Some(run.experiment.checkpoint.clone()),
        // The settings above say all of it.
        config: None,
        scores: run
            .conditions()
            .map(|set| evaluate(places, run, set))
            .collect::<Result<_>>()?,
        ..found.record
    };
    change(places, run.experiment, |data| {
        data.runs
            .retain(|other| (&other.label, other.seed) != (&record.label, record.seed));
        data.runs.push(record);
    })?;
    Ok(())
}

/// Changes an experiment's data file and brings the rest of it in line with the experiment.
fn change(places: &Places, experiment: &Experiment, how: impl FnOnce(&mut Data)) -> Result<Data> {
    let Ok(_writing) = places.writing.lock() else {
        bail!("another worker failed while it wrote a data file");
    };
    let path = data_file(&places.curves, &experiment.name);
    let mut data = read_data(&path)?;
    how(&mut data);
    experiment.arrange(&mut data);
    if !data.runs.is_empty() {
        file::write(&path, &data)?;
    }
    Ok(data)
}

/// `sac eval` of a run under changes to its environment.
fn evaluate(places: &Places, run: &Run, set: &[String]) -> Result<Value> {
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
    serde_json::from_slice(&output.stdout).context("sac eval wrote something else than JSON")
}

/// Brings a data file into line with its experiment, and says which runs it lacks.
fn say_what_is_missing(places: &Places, experiment: &Experiment) -> Result<()> {
    let data = change(places, experiment, |_| {})?;
    for group in &experiment.group {
        let recorded = data.runs.iter().filter(|run| run.label == group.label).count();
        if recorded < experiment.seeds as usize {
            let (name, label) = (&experiment.name, &group.label);
            say!(
                "{name}: {recorded} of {} runs of {label} are recorded",
                experiment.seeds
            );
        }
    }
    Ok(())
}

/// `cargo xtask results`: writes the tables and pictures in the pages anew from the data files.
pub fn results(workspace: &Workspace, arguments: &[&str]) -> Result<ExitCode> {
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "sac-report",
        "--example",
        "results",
        "--",
    ]);
    let status = command.args(arguments).status().context("cannot run cargo")?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
