//! Training, scoring and recording runs: what `cargo xtask curves` and `cargo xtask campaign` share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sac_report::data::{self as file, Data, Record};
use sac_report::experiment::{Experiment, Group};
use sac_report::{folder, state};
use serde_json::Value;

use super::data::{arrange, data_file, read_data};
use super::experiment::Run;

/// How often processes of others are looked for, and ends of our own.
const POLL: Duration = Duration::from_millis(200);

/// Where things are.
pub(super) struct Places {
    /// The program that trains runs that begin.
    pub(super) sac: PathBuf,
    /// Earlier programs by commit, `sac-<commit>`: a run goes on with the one that began it, if it is there.
    pub(super) programs: Option<PathBuf>,
    /// Folders of runs, not committed.
    pub(super) runs: PathBuf,
    /// Data files and pictures.
    pub(super) curves: PathBuf,
    /// Process ids of our trainings.
    pub(super) children: Mutex<Vec<u32>>,
}

impl Places {
    pub(super) fn path(&self, run: &Run) -> PathBuf {
        self.runs.join(run.folder())
    }

    /// The program that trains a run: for one that began, the program that began it.
    fn program(&self, folder: &Path) -> PathBuf {
        let commit = || {
            let text = fs::read_to_string(folder.join("provenance.json")).ok()?;
            let provenance: Value = serde_json::from_str(&text).ok()?;
            let program = self
                .programs
                .as_ref()?
                .join(format!("sac-{}", provenance["commit"].as_str()?));
            program.is_file().then_some(program)
        };
        commit().unwrap_or_else(|| self.sac.clone())
    }
}

pub(super) fn is_recorded(places: &Places, run: &Run) -> Result<bool> {
    let data = read_data(&data_file(&places.curves, &run.experiment.name))?;
    Ok(data.runs.iter().any(|record| run.is_told_by(record)))
}

pub(super) fn is_complete(places: &Places, run: &Run) -> bool {
    let checkpoints = places.path(run).join("checkpoints");
    checkpoints.join(run.group.env_steps.to_string()).is_dir()
}

/// What is left to do at most, in this order, as many at once as `may_start` allows; it gets the number that are running.
/// A run that fails does not end the others.
///
/// # Errors
/// When a run failed: the error names all of them.
pub(super) fn work(places: &Places, runs: &[Run], mut may_start: impl FnMut(usize) -> bool) -> Result<()> {
    let mut waiting = runs.iter();
    let mut next = waiting.next();
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        loop {
            running.retain(|worker: &std::thread::ScopedJoinHandle<()>| !worker.is_finished());
            match next {
                None if running.is_empty() => return,
                Some(run) if may_start(running.len()) => {
                    let failures = &failures;
                    running.push(scope.spawn(move || {
                        if let Err(error) = train_and_record(places, run) {
                            say!("{} failed: {error:#}", run.name());
                            if let Ok(mut failures) = failures.lock() {
                                failures.push(format!("{}: {error:#}", run.name()));
                            }
                        }
                    }));
                    next = waiting.next();
                }
                _ => std::thread::sleep(POLL),
            }
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(
        failures.is_empty(),
        "{} runs failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

fn train_and_record(places: &Places, run: &Run) -> Result<()> {
    if let Some(record) = borrowed(places, run)? {
        keep(places, run, record)?;
        say!("recorded {}, as in the experiment that it is the same as", run.name());
        return Ok(());
    }
    train(places, run)?;
    let path = places.path(run);
    record(places, run, &path)?;
    say!("recorded {}", run.name());
    if run.experiment.is_campaign() {
        drop_replays(&path)?;
    }
    Ok(())
}

/// The record of the same run in another experiment, if there is one.
fn borrowed(places: &Places, run: &Run) -> Result<Option<Record>> {
    let Some((experiment, label)) = &run.group.same_as else {
        return Ok(None);
    };
    let data = read_data(&data_file(&places.curves, experiment))?;
    let of_group = data.runs.into_iter().filter(|record| record.label == *label);
    let relabelled = of_group.map(|record| Record {
        label: run.group.label.clone(),
        returns_divided_by: run.group.returns_divided_by,
        ..record
    });
    Ok(relabelled.into_iter().find(|record| run.is_told_by(record)))
}

/// Removes the replays of a finished run, gigabytes of a long one. Its policies stay, and can be scored again.
fn drop_replays(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten() {
        let path = entry.path().join("replay.safetensors");
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Trains a run to its end, from its newest checkpoint if it has one.
fn train(places: &Places, run: &Run) -> Result<()> {
    let folder = places.path(run);
    let mut was_said = false;
    // Trainings outlive a campaign that was killed. Two at once would be refused; the first is as good.
    while state::holder(&folder).is_some() {
        if !was_said {
            say!("{} is being trained by another process; waiting for it", run.name());
            was_said = true;
        }
        std::thread::sleep(POLL);
    }
    if is_complete(places, run) {
        return Ok(());
    }
    let parent = folder.parent().context("the folder of a run has a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let mut command = Command::new(places.program(&folder));
    if folder.join("checkpoints/latest").exists() {
        say!("going on with {}", run.name());
        command.arg("train").arg("--resume").arg(&folder);
    } else {
        if folder.exists() {
            // It ended before its first checkpoint, so there is nothing to go on from.
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        say!("training {}", run.name());
        command.arg("train").args(run.arguments()).arg("--run-dir").arg(&folder);
    }
    let log = folder.with_extension(format!("{}.log", run.seed));
    let stderr = File::options().create(true).append(true).open(&log);
    let stderr = stderr.with_context(|| format!("cannot write {}", log.display()))?;
    let child = command
        .args(["--threads", "1", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("cannot run sac")?;
    let status = watched(places, child)?;
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!(
            "training ended with {status}; the end of {}:\n{}",
            log.display(),
            last.join("\n")
        );
    }
    Ok(())
}

/// Waits for a training, whose process id is known meanwhile.
fn watched(places: &Places, mut child: Child) -> Result<std::process::ExitStatus> {
    let id = child.id();
    let change = |how: &dyn Fn(&mut Vec<u32>)| {
        if let Ok(mut children) = places.children.lock() {
            how(&mut children);
        }
    };
    change(&|children| children.push(id));
    let status = child.wait().context("cannot wait for sac");
    change(&|children| children.retain(|other| *other != id));
    status
}

/// Scores a run's policy and writes what is to be committed of the run.
pub(super) fn record(places: &Places, run: &Run, path: &Path) -> Result<()> {
    let found = folder::read(path)?;
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
        // The settings above say all of it, and the folder is of this machine alone.
        config: None,
        folder: None,
        scores: run
            .conditions()
            .map(|set| evaluate(places, run, path, set))
            .collect::<Result<_>>()?,
        ..found.record
    };
    keep(places, run, record)
}

/// Writes a run's record in its experiment's data file.
fn keep(places: &Places, run: &Run, record: Record) -> Result<()> {
    change(places, run.experiment, |data| {
        data.runs.retain(|other| !run.is_in_place_of(other));
        data.runs.push(record);
    })?;
    Ok(())
}

/// Changes an experiment's data file and brings the rest of it in line with the experiment.
pub(super) fn change(places: &Places, experiment: &Experiment, how: impl FnOnce(&mut Data)) -> Result<Data> {
    fs::create_dir_all(&places.curves).with_context(|| format!("cannot make {}", places.curves.display()))?;
    // Held, also against other processes, while a file is read, changed and written.
    let lock = File::open(&places.curves).and_then(|folder| folder.lock().map(|()| folder));
    let _lock = lock.with_context(|| format!("cannot lock {}", places.curves.display()))?;
    let path = data_file(&places.curves, &experiment.name);
    let mut data = read_data(&path)?;
    let before = data.clone();
    how(&mut data);
    arrange(experiment, &mut data);
    if !data.runs.is_empty() && data != before {
        file::write(&path, &data)?;
    }
    Ok(data)
}

/// `sac eval` of a run under changes to its environment.
fn evaluate(places: &Places, run: &Run, path: &Path, set: &[String]) -> Result<Value> {
    let mut command = Command::new(places.program(path));
    command.arg("eval").arg(path).args(["--episodes", "20", "--json"]);
    command.args(["--checkpoint", &run.experiment.checkpoint]);
    set.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run sac eval")?;
    ensure!(output.status.success(), "scoring {} failed", path.display());
    serde_json::from_slice(&output.stdout).context("sac eval wrote something else than JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves::data::tests::small_record;
    use crate::curves::experiment::runs_of;
    use crate::curves::experiment::tests::small;

    #[test]
    fn a_run_that_another_experiment_has_recorded_is_not_trained_again() {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let places = Places {
            sac: folder.path().join("there is none"),
            programs: None,
            runs: folder.path().join("runs"),
            curves: folder.path().join("curves"),
            children: Mutex::default(),
        };
        let original = Experiment {
            name: "original".to_string(),
            ..small()
        };
        let first = runs_of(&original).next().unwrap_or_else(|| panic!("there are runs"));
        keep(&places, &first, small_record(1, 4.125)).unwrap_or_else(|e| panic!("{e:#}"));

        let mut same = small();
        same.groups[0].same_as = Some(("original".to_string(), same.groups[0].label.clone()));
        same.groups[0].label = "B".to_string();
        let runs: Vec<Run> = runs_of(&same).collect();
        train_and_record(&places, &runs[0]).unwrap_or_else(|e| panic!("{e:#}"));
        let data = read_data(&data_file(&places.curves, &same.name)).unwrap_or_else(|e| panic!("{e:#}"));
        let told: Vec<_> = data.runs.iter().map(|run| (&*run.label, run.seed)).collect();
        assert_eq!(told, [("B", Some(1))]);
        assert_eq!(data.runs[0].evaluations, small_record(1, 4.125).evaluations);
        assert!(train_and_record(&places, &runs[1]).is_err(), "seed 2 has to be trained");
    }
}
