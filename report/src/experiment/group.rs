//! The tables `[[group]]` of a file: [`groups`].

use toml::{Table, Value};

use super::combinations::{MOST_RUNS, Setting, combinations};
use crate::toml_file::{check_keys, check_required, count, number, text, texts};

const KEYS: [&str; 11] = [
    "label",
    "env",
    "algo",
    "env_steps",
    "config",
    "set",
    "grid",
    "paired",
    "list",
    "returns_divided_by",
    "same_as",
];

/// Runs that differ in their seed only. A table of a file is one for each environment, algorithm and combination of
/// settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What tells it from others on its environment.
    pub label: String,
    /// Where it trains.
    pub env: String,
    /// With which preset.
    pub algo: String,
    /// The length of each run.
    pub env_steps: u64,
    /// An experiment file, or `none`, as `--config` takes it.
    pub config: Option<String>,
    /// Settings as `--set` takes them: those of the whole table, then those that vary.
    pub set: Vec<String>,
    /// Divisor of the returns in tables and pictures, where rewards are scaled.
    pub returns_divided_by: Option<f64>,
    /// Experiment and label of a group with the same settings, whose trained runs serve here too.
    pub same_as: Option<(String, String)>,
    /// Whether its table has a list of environments.
    pub is_of_listed_envs: bool,
}

/// The groups of a file, in the order of its tables; of a table environment by environment.
pub(super) fn groups(table: &Table, problems: &mut Vec<String>) -> Vec<Group> {
    let mut found = Vec::new();
    match table.get("group") {
        Some(Value::Array(groups)) if !groups.is_empty() => {
            for (index, group) in groups.iter().enumerate() {
                let place = format!("group {}: ", index + 1);
                match group.as_table() {
                    Some(group) => found.extend(groups_of_table(group, &place, problems)),
                    None => problems.push(format!("{place}expected a table [[group]]")),
                }
            }
        }
        _ => problems.push("expected at least one table [[group]]".to_string()),
    }
    found
}

fn groups_of_table(table: &Table, place: &str, problems: &mut Vec<String>) -> Vec<Group> {
    check_keys(table, &KEYS, place, problems);
    check_required(table, &["env", "algo", "env_steps"], place, problems);
    let label = text(table, "label", place, problems);
    let (envs, algos) = (
        named(table, "env", place, problems),
        named(table, "algo", place, problems),
    );
    let env_steps = count(table, "env_steps", place, problems).unwrap_or_default();
    let config = text(table, "config", place, problems);
    let set = texts(table, "set", place, problems);
    let returns_divided_by = divisor(table, place, problems);
    let same_as = same_as(table, place, problems);
    let combinations = combinations(table, place, problems);
    let asked = envs
        .len()
        .saturating_mul(algos.len())
        .saturating_mul(combinations.len());
    if asked > MOST_RUNS {
        problems.push(format!("{place}asks for more than {MOST_RUNS} runs"));
        return Vec::new();
    }
    if same_as.is_some() && asked > 1 {
        problems.push(format!("{place}`same_as` names one group, and these are {asked}"));
    }
    let mut groups = Vec::new();
    for env in &envs {
        for algo in &algos {
            for varied in &combinations {
                groups.push(Group {
                    label: label_of(label.as_deref().unwrap_or(algo), algo, algos.len() > 1, varied),
                    env: env.clone(),
                    algo: algo.clone(),
                    env_steps,
                    config: config.clone(),
                    set: set
                        .iter()
                        .cloned()
                        .chain(varied.iter().map(Setting::assignment))
                        .collect(),
                    returns_divided_by,
                    same_as: same_as.clone(),
                    is_of_listed_envs: table["env"].is_array(),
                });
            }
        }
    }
    groups
}

/// A name or a list of names, at least one.
fn named(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Vec<String> {
    if table.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        problems.push(format!("{place}`{key}` = []: expected at least one"));
    }
    texts(table, key, place, problems)
}

fn divisor(table: &Table, place: &str, problems: &mut Vec<String>) -> Option<f64> {
    let divisor = number(table, "returns_divided_by", place, problems)?;
    if divisor == 0.0 {
        problems.push(format!("{place}`returns_divided_by` = 0: expected another number"));
    }
    Some(divisor)
}

fn same_as(table: &Table, place: &str, problems: &mut Vec<String>) -> Option<(String, String)> {
    let value = table.get("same_as")?;
    let pair = value.as_array().and_then(|pair| match pair.as_slice() {
        [Value::String(experiment), Value::String(label)] => Some((experiment.clone(), label.clone())),
        _ => None,
    });
    if pair.is_none() {
        problems.push(format!(
            "{place}`same_as` = {value}: expected the name of an experiment and the label of its group, [\"…\", \"…\"]"
        ));
    }
    pair
}

fn label_of(group: &str, algo: &str, has_several_algos: bool, varied: &[Setting]) -> String {
    let mut label = group.to_string();
    if has_several_algos && group != algo {
        label += &format!(", {algo}");
    }
    for setting in varied {
        label += &format!(", {}={}", setting.name, setting.shown());
    }
    label
}
