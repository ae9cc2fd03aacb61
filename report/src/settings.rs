//! The settings of runs, and those in which runs differ: [`leaves`], [`differing`], [`distinctions`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[cfg(feature = "report")]
use crate::data::Record;

/// Keys, and tables of keys, that do not change what is learned, or that tell runs of one group apart: seed, length,
/// machine, and when the run is evaluated, saved and logged.
const OF_NO_CONCERN: [&str; 9] = [
    "train.seed",
    "train.total_env_steps",
    "train.device",
    "train.threads",
    "train.cuda_graphs",
    "env.step_threads",
    "eval",
    "checkpoint",
    "log",
];

/// Settings by dotted key, as text.
pub type Settings = BTreeMap<String, String>;

/// Every value of a configuration that is no table, by its key. Text has no quotes.
pub fn leaves(config: &Value) -> Settings {
    let mut found = Settings::new();
    collect(config, "", &mut found);
    found
}

/// All that is known of the settings of a run: its configuration, or what was set over the preset.
#[cfg(feature = "report")]
pub(crate) fn of_record(run: &Record) -> Settings {
    let mut found = run.config.as_ref().map(leaves).unwrap_or_default();
    if let Some(set) = &run.set {
        found.insert("their settings".to_string(), set.join(" "));
    }
    found
}

fn collect(value: &Value, key: &str, found: &mut Settings) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                match key.is_empty() {
                    true => collect(value, name, found),
                    false => collect(value, &format!("{key}.{name}"), found),
                }
            }
        }
        Value::String(text) => drop(found.insert(key.to_string(), text.clone())),
        _ => drop(found.insert(key.to_string(), value.to_string())),
    }
}

/// Whether a setting belongs to what is learned, so that runs which differ in it are not the same experiment.
pub fn is_of_concern(key: &str) -> bool {
    let rest = OF_NO_CONCERN.iter().filter_map(|part| key.strip_prefix(part));
    !rest.into_iter().any(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The settings [of concern](is_of_concern) that some runs have with another value than others, or have not at all.
pub fn differing<'a>(runs: impl IntoIterator<Item = &'a Settings>) -> BTreeSet<&'a str> {
    let mut values: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    let mut count = 0;
    for run in runs {
        count += 1;
        for (key, value) in run {
            let (found, holders) = values.entry(key).or_default();
            found.insert(value);
            *holders += 1;
        }
    }
    values.retain(|key, (found, holders)| is_of_concern(key) && (found.len() > 1 || *holders != count));
    values.into_keys().collect()
}

/// The settings of each run that differ within its group (its task and algorithm, say), each as `name=value`. A name is
/// the end of its key where that is clear: `gamma=0.98`.
pub fn distinctions<G: Ord>(runs: &[(G, &Settings)]) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<&G, Vec<&Settings>> = BTreeMap::new();
    for (group, settings) in runs {
        groups.entry(group).or_default().push(settings);
    }
    let keys: BTreeSet<&str> = groups
        .values()
        .flat_map(|group| differing(group.iter().copied()))
        .collect();
    let names = names(&keys, &groups);
    let of_run = |settings: &Settings| {
        let pairs = names
            .iter()
            .filter_map(|(name, key)| Some(format!("{name}={}", settings.get(*key)?)));
        pairs.collect()
    };
    runs.iter().map(|(_, settings)| of_run(settings)).collect()
}

/// Names for keys, each with a key that holds its value: the ends of keys that are alone with theirs, or that have the same
/// value in every run; else the whole keys.
fn names<'a, G: Ord>(keys: &BTreeSet<&'a str>, groups: &BTreeMap<&G, Vec<&Settings>>) -> Vec<(&'a str, &'a str)> {
    let end = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let mut by_end: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for key in keys {
        by_end.entry(end(key)).or_default().push(key);
    }
    let is_one_value = |alike: &[&str]| {
        let mut runs = groups.values().flatten();
        runs.all(|run| alike.windows(2).all(|pair| run.get(pair[0]) == run.get(pair[1])))
    };
    let mut names = Vec::new();
    for (end, alike) in by_end {
        match is_one_value(&alike) {
            true => names.push((end, alike[0])),
            false => names.extend(alike.iter().map(|key| (*key, *key))),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> Settings {
        leaves(&value)
    }

    #[test]
    fn settings_that_differ_are_named_and_those_of_the_machine_are_not() {
        let runs = [
            of(serde_json::json!({ "train": { "seed": 1, "threads": 1 }, "agent": { "gamma": 0.99, "tau": 1 } })),
            of(
                serde_json::json!({ "train": { "seed": 2, "threads": 4 }, "agent": { "gamma": 0.98, "tau": 1, "x": [1] } }),
            ),
        ];
        let found: Vec<&str> = differing(&runs).into_iter().collect();
        assert_eq!(found, ["agent.gamma", "agent.x"]);
        assert!(differing(&runs[..1]).is_empty());
        assert!(is_of_concern("evaluation") && !is_of_concern("eval.every.env_steps"));
    }

    #[test]
    fn a_run_is_told_apart_by_short_names_where_they_are_clear() {
        let of = |actor: f64, critic: f64, gamma: f64| {
            let rate = |rate: f64| serde_json::json!({ "learning_rate": rate });
            of(serde_json::json!({ "agent": { "policy": rate(actor), "critic": rate(critic), "gamma": gamma } }))
        };
        let told = |runs: &[Settings]| {
            let runs: Vec<_> = runs.iter().map(|run| ((), run)).collect();
            let apart = distinctions(&runs);
            apart.iter().map(|pairs| pairs.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(told(&[of(0.1, 0.1, 0.9), of(0.1, 0.1, 0.9)]), ["", ""]);
        assert_eq!(
            told(&[of(0.1, 0.1, 0.9), of(0.2, 0.2, 0.9)]),
            ["learning_rate=0.1", "learning_rate=0.2"]
        );
        let apart = told(&[of(0.1, 0.1, 0.9), of(0.2, 0.1, 0.8)]);
        assert_eq!(apart[1], "gamma=0.8 learning_rate=0.2", "only one of the rates differs");
        let apart = told(&[of(0.1, 0.1, 0.9), of(0.2, 0.3, 0.9)]);
        assert_eq!(
            apart[1],
            "agent.critic.learning_rate=0.3 agent.policy.learning_rate=0.2"
        );
        // A setting that differs on one task names the rows of every task, so that they are the same rows.
        let (a, b) = (of(0.1, 0.1, 0.9), of(0.1, 0.1, 0.8));
        let apart = distinctions(&[("E", &a), ("E", &b), ("F", &a)]);
        assert_eq!(apart[2], ["gamma=0.9"]);
    }

    #[test]
    fn text_has_no_quotes() {
        let found = of(serde_json::json!({ "algo": "sac", "agent": { "hidden": [4, 4] } }));
        assert_eq!(
            (found["algo"].as_str(), found["agent.hidden"].as_str()),
            ("sac", "[4,4]")
        );
    }
}
