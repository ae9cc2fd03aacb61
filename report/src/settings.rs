//! The settings of runs, and those in which runs differ: [`leaves`], [`differing`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

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
    fn text_has_no_quotes() {
        let found = of(serde_json::json!({ "algo": "sac", "agent": { "hidden": [4, 4] } }));
        assert_eq!(
            (found["algo"].as_str(), found["agent.hidden"].as_str()),
            ("sac", "[4,4]")
        );
    }
}
