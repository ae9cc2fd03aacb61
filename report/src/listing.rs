//! Runs as rows of a list, whatever state their folders are in: [`list`].

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    error::Result,
    folder,
    rows::{PEAK_MEMORY, last_rows, newest},
    settings::{Settings, leaves},
    state::State,
};

/// What a list says of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// Its folder.
    pub path: PathBuf,
    /// Id of the environment.
    pub env: String,
    /// The preset.
    pub algo: String,
    /// Root seed.
    pub seed: Option<u64>,
    /// Env steps that were logged, evaluated or saved.
    pub env_steps: u64,
    /// Env steps at its end.
    pub total_env_steps: u64,
    /// Mean return of the newest evaluation.
    pub last: Option<f64>,
    /// Highest mean return of an evaluation.
    pub best: Option<f64>,
    /// Wall time in training.
    pub seconds: Option<f64>,
    /// Most memory that its process had, MiB.
    pub peak_memory_mib: Option<f64>,
    /// Whether it is being trained, or how it ended.
    #[serde(flatten)]
    pub state: State,
    /// Size on disk.
    pub bytes: u64,
    /// All settings.
    pub settings: Settings,
}

/// Every run below a folder, in the order of their paths. One that cannot be read is listed as such.
///
/// # Errors
/// When there is none, or a folder cannot be searched.
pub fn list(path: &Path) -> Result<Vec<Listed>> {
    Ok(folder::runs_in(path)?.iter().map(|run| listed(run)).collect())
}

/// A run as a row of a list.
pub fn listed(path: &Path) -> Listed {
    let bytes = bytes_on_disk(path);
    let progress = Progress::of(path);
    let (settings, state) = match folder::config(path) {
        Ok(config) => {
            let is_finished = folder::is_at_its_end(path, &config, progress.evaluated, progress.last);
            (leaves(&config), State::of(path, is_finished))
        }
        Err(error) => {
            let reason = error.to_string();
            (Settings::new(), State::Unreadable { reason })
        }
    };
    let text = |key: &str| settings.get(key).cloned().unwrap_or_default();
    let count = |key: &str| settings.get(key).and_then(|value| value.parse().ok());
    Listed {
        path: path.to_path_buf(),
        env: text("env.id"),
        algo: text("algo"),
        seed: count("train.seed"),
        env_steps: progress.env_steps,
        total_env_steps: count("train.total_env_steps").unwrap_or(0),
        last: progress.last,
        best: progress.best,
        seconds: progress.seconds,
        peak_memory_mib: progress.peak_memory_mib,
        state,
        bytes,
        settings,
    }
}

/// How far a run got.
#[derive(Default)]
struct Progress {
    env_steps: u64,
    /// Env steps of the newest evaluation.
    evaluated: Option<u64>,
    last: Option<f64>,
    best: Option<f64>,
    seconds: Option<f64>,
    peak_memory_mib: Option<f64>,
}

impl Progress {
    fn of(run: &Path) -> Progress {
        let mut found = Progress::default();
        if let Ok(evaluations) = folder::evaluations(run) {
            let column = |name: &str| evaluations.get(name).and_then(Value::as_array);
            let numbers = column("mean_return").into_iter().flatten().filter_map(Value::as_f64);
            found.last = column("mean_return").and_then(|returns| returns.last()?.as_f64());
            found.best = numbers.reduce(f64::max);
            found.evaluated = column("env_steps").and_then(|steps| steps.last()?.as_u64());
        }
        let rows = last_rows(run);
        let newest = |key: &str| newest(&rows, key);
        found.seconds = newest("seconds").and_then(Value::as_f64);
        found.peak_memory_mib = newest(PEAK_MEMORY).and_then(Value::as_f64);
        let logged = newest("env_steps").and_then(Value::as_u64);
        let counts = [folder::saved(run), logged, found.evaluated];
        found.env_steps = counts.into_iter().flatten().max().unwrap_or(0);
        found
    }
}

/// The space that the files below a folder take. A file that several checkpoints share counts once.
pub fn bytes_on_disk(folder: &Path) -> u64 {
    fn add(folder: &Path, seen: &mut BTreeSet<(u64, u64)>, sum: &mut u64) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                add(&entry.path(), seen, sum);
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                *sum += metadata.blocks() * 512;
            }
        }
    }
    let mut sum = 0;
    add(folder, &mut BTreeSet::new(), &mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_takes_its_space_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("a");
        fs::write(&file, vec![1; 100_000]).expect("written");
        let once = bytes_on_disk(folder.path());
        assert!(once >= 100_000, "{once}");
        fs::create_dir(folder.path().join("b")).expect("made");
        fs::hard_link(&file, folder.path().join("b/a")).expect("linked");
        assert_eq!(bytes_on_disk(folder.path()), once);
    }

    #[test]
    fn a_folder_without_a_valid_configuration_is_listed_with_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = folder.path().join("x");
        fs::create_dir(&run).expect("made");
        fs::write(run.join("config.toml"), "algo = ").expect("written");
        let found = list(folder.path()).expect("a run");
        assert!(
            found[0].state.to_string().starts_with("unreadable: "),
            "{:?}",
            found[0].state
        );
    }
}
