//! The settings that a run keeps from its beginning to its end, and those that may change: [`fixed`], [`check`].

use std::collections::{BTreeMap, BTreeSet};

use sac_agents::checkpoint::Checkpoint;

use super::folder::RunFolder;
use crate::{
    config::{Config, Issue, Issues, Origin},
    error::Result,
};

/// Keys, and tables of keys, that may change when a run is resumed: its length, the machine, and what does not affect
/// what is learned.
const FREE: &[&str] = &[
    "train.total_env_steps",
    "train.device",
    "train.threads",
    "train.cuda_graphs",
    "env.step_threads",
    // The file may have moved.
    "env.xml_file",
    "eval",
    "checkpoint",
    "log",
];

/// Whether a setting may be changed on resume, on purpose, though it affects what is learned.
fn is_changeable(key: &str) -> bool {
    key == "train.updates_per_env_step" || key.ends_with(".learning_rate") || key.contains("optimizer.anneal.")
}

/// The section of a checkpoint that holds the settings that are not in [`FREE`].
const SECTION: &str = "run";

/// The settings that affect what is learned, by dotted key, as TOML.
pub(super) fn fixed(config: &Config) -> BTreeMap<String, String> {
    let mut settings = flat(config);
    let is_free = |key: &str| {
        let mut free = FREE.iter().filter_map(|free| key.strip_prefix(free));
        free.any(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    settings.retain(|key, _| !is_free(key));
    settings
}

/// The settings in `config` that differ from those in `stored`.
pub(super) fn changed(stored: &Config, config: &Config) -> BTreeMap<String, String> {
    let (stored, mut config) = (flat(stored), flat(config));
    config.retain(|key, value| stored.get(key) != Some(value));
    config
}

/// All settings by dotted key, as TOML.
fn flat(config: &Config) -> BTreeMap<String, String> {
    fn collect(table: &toml::Table, prefix: &str, all: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => collect(table, &format!("{key}."), all),
                value => drop(all.insert(key, value.to_string())),
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&config.to_table(), "", &mut all);
    all
}

/// Refuses a configuration that cannot go on from a checkpoint: that of the folder, `stored`, has to be the one that the
/// checkpoint was made with, and `config` may differ from it in a few settings. A setting that only one of two versions of
/// this program has is not compared.
///
/// # Errors
/// All differing settings at once.
pub(super) fn check(folder: &RunFolder, stored: &Config, config: &Config, checkpoint: &Checkpoint) -> Result<()> {
    let section = checkpoint.section(SECTION)?;
    let then: BTreeMap<String, String> = section.state().map_err(|error| checkpoint.locate(error))?;
    let mut issues = differing(&then, &fixed(stored), checkpoint, &Origin::File(folder.config_path()));
    for issue in differing(&then, &fixed(config), checkpoint, &Origin::Set) {
        if !is_changeable(&issue.key) && issues.iter().all(|other| other.key != issue.key) {
            issues.push(issue);
        }
    }
    match issues.is_empty() {
        true => Ok(()),
        false => Err(Issues(issues).into()),
    }
}

/// What is different now from what it was then.
fn differing(
    then: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    checkpoint: &Checkpoint,
    origin: &Origin,
) -> Vec<Issue> {
    let is_same_version = checkpoint.manifest.version == env!("CARGO_PKG_VERSION");
    let keys: BTreeSet<&String> = match is_same_version {
        true => then.keys().chain(now.keys()).collect(),
        false => then.keys().filter(|key| now.contains_key(*key)).collect(),
    };
    keys.into_iter()
        .filter(|key| then.get(*key) != now.get(*key))
        .map(|key| Issue {
            key: key.clone(),
            value: now.get(key).cloned().unwrap_or_default(),
            problem: match then.get(key) {
                Some(then) => format!("cannot change in the middle of a run, which was begun with {then}"),
                None => "cannot change in the middle of a run, which was begun without it".to_string(),
            },
            origin: Some(origin.clone()),
        })
        .collect()
}
