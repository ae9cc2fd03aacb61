//! The settings that a run keeps from its beginning to its end: [`fixed`], [`check`].

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

/// The section of a checkpoint that holds them.
const SECTION: &str = "run";

/// The settings that cannot change, by dotted key, as TOML.
pub(super) fn fixed(config: &Config) -> BTreeMap<String, String> {
    fn collect(table: &toml::Table, prefix: &str, all: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                _ if FREE.contains(&key.as_str()) => {}
                toml::Value::Table(table) => collect(table, &format!("{key}."), all),
                value => drop(all.insert(key, value.to_string())),
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&config.to_table(), "", &mut all);
    all
}

/// Refuses a configuration that is not the one that a checkpoint was made with. A setting that only one of two versions
/// of this program has is not compared.
///
/// # Errors
/// All differing settings at once.
pub(super) fn check(folder: &RunFolder, config: &Config, checkpoint: &Checkpoint) -> Result<()> {
    let Ok(section) = checkpoint.section(SECTION) else {
        return Ok(()); // An older program did not record them.
    };
    let then: BTreeMap<String, String> = section.state().map_err(|error| checkpoint.locate(error))?;
    let now = fixed(config);
    let is_same_version = checkpoint.manifest.version == env!("CARGO_PKG_VERSION");
    let keys: BTreeSet<&String> = match is_same_version {
        true => then.keys().chain(now.keys()).collect(),
        false => then.keys().filter(|key| now.contains_key(*key)).collect(),
    };
    let differing: Vec<Issue> = keys
        .into_iter()
        .filter(|key| then.get(*key) != now.get(*key))
        .map(|key| Issue {
            key: key.clone(),
            value: now.get(key).cloned().unwrap_or_default(),
            problem: match then.get(key) {
                Some(then) => format!("cannot change in the middle of a run, which was begun with {then}"),
                None => "cannot change in the middle of a run, which was begun without it".to_string(),
            },
            origin: Some(Origin::File(folder.config_path())),
        })
        .collect();
    match differing.is_empty() {
        true => Ok(()),
        false => Err(Issues(differing).into()),
    }
}
