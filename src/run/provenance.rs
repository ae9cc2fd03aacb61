//! What made a run: `provenance.json`.

use std::{collections::BTreeMap, fs, path::Path};

use sac_agents::{EnvSteps, regular_file};
use serde::{Deserialize, Serialize};

use super::{
    fixed::changed,
    folder::{RunFolder, utc_now, write},
};
use crate::{
    config::{Config, DeviceChoice},
    error::{Error, Result},
    spaces::{Spaces, SpacesRecord},
};

const PROVENANCE_FILE: &str = "provenance.json";

/// Thousands of times resumed.
const MOST_PROVENANCE_BYTES: u64 = 16 << 20;

/// Program and machine that train, from a point of time on.
#[derive(Serialize)]
struct Maker {
    sac: &'static str,
    commit: &'static str,
    profile: &'static str,
    libtorch: &'static str,
    device: DeviceChoice,
    threads: u64,
    processor: String,
    command: Vec<String>,
    started_utc: String,
}

impl Maker {
    fn of(config: &Config) -> Self {
        Maker {
            sac: env!("CARGO_PKG_VERSION"),
            commit: env!("SAC_COMMIT"),
            profile: env!("SAC_PROFILE"),
            libtorch: env!("SAC_LIBTORCH_VERSION"),
            device: config.train.device,
            threads: config.threads(),
            processor: processor(),
            command: command(),
            started_utc: utc_now(),
        }
    }
}

/// The file at the beginning of a run.
#[derive(Serialize)]
struct Provenance {
    #[serde(flatten)]
    maker: Maker,
    spaces: SpacesRecord,
    /// The run whose learned parameters this one began with.
    #[serde(skip_serializing_if = "Option::is_none")]
    init_from: Option<String>,
}

/// An entry of its list `resumed`: where the run goes on, and on what.
#[derive(Serialize)]
struct Resumed {
    at_env_steps: EnvSteps,
    /// The run that this one is a branch of, from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    branched_from: Option<String>,
    /// Settings that are others from here on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    changed: BTreeMap<String, String>,
    #[serde(flatten)]
    maker: Maker,
}

/// Writes down what made a run.
pub(super) fn write_provenance(
    run: &RunFolder,
    config: &Config,
    spaces: &Spaces,
    init_from: Option<&Path>,
) -> Result<()> {
    let provenance = Provenance {
        maker: Maker::of(config),
        spaces: spaces.into(),
        init_from: init_from.map(full_path),
    };
    store(run, &provenance)
}

/// Writes down that a run goes on.
pub(super) fn note_resume(
    run: &RunFolder,
    stored: &Config,
    config: &Config,
    at_env_steps: EnvSteps,
    branched_from: Option<&RunFolder>,
) -> Result<()> {
    let path = run.path().join(PROVENANCE_FILE);
    let text = regular_file::read_text(&path, MOST_PROVENANCE_BYTES).unwrap_or_default();
    // A file that is missing or damaged begins anew.
    let mut all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    let resumed = Resumed {
        at_env_steps,
        branched_from: branched_from.map(|run| full_path(run.path())),
        changed: changed(stored, config),
        maker: Maker::of(config),
    };
    let entry = serde_json::to_value(resumed).map_err(|error| Error::Usage(error.to_string()))?;
    match all.get_mut("resumed").and_then(serde_json::Value::as_array_mut) {
        Some(list) => list.push(entry),
        None => drop(all.insert("resumed".to_string(), serde_json::json!([entry]))),
    }
    store(run, &all)
}

fn store(run: &RunFolder, value: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| Error::Usage(error.to_string()))?;
    json.push(b'\n');
    write(&run.path().join(PROVENANCE_FILE), &json)
}

fn full_path(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    full.to_string_lossy().into_owned()
}

/// The command line; JSON has the replacement character for bytes that are not UTF-8.
fn command() -> Vec<String> {
    std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect()
}

/// The part that is read again.
#[derive(Deserialize)]
struct Recorded {
    spaces: SpacesRecord,
}

/// Refuses the spaces of a task that are not those of a run.
///
/// # Errors
/// [`Error::OtherSpaces`].
pub(crate) fn check_spaces(run: &RunFolder, env: &str, task: &Spaces) -> Result<()> {
    // Without the record, tensors that do not fit are still refused when they are loaded.
    let path = run.path().join(PROVENANCE_FILE);
    let text = regular_file::read_text(&path, MOST_PROVENANCE_BYTES).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Recorded { spaces }) => spaces.check(run.path(), env, task),
        Err(_) => Ok(()),
    }
}

/// The processor's name as the system gives it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(
        || std::env::consts::ARCH.to_string(),
        |(_, name)| name.trim().to_string(),
    )
}
