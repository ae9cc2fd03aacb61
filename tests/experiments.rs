//! The long experiments of `configs/experiments`: that they can be run, and that they compare what they say.

use std::{fs, path::Path};

use sac_report::experiment::{Experiment, Group as Asked};

use crate::support::{folder, sac};

/// Its label, and the arguments that name its environment, preset and settings.
type Group = (String, Vec<String>);

/// File names without their ending, and groups.
fn experiments() -> Vec<(String, Vec<Group>)> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
    let mut experiments = Vec::new();
    for entry in fs::read_dir(configs).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let experiment = Experiment::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let group = |group: Asked| {
            let mut arguments = ["--env", &group.env, "--algo", &group.algo]
                .map(str::to_string)
                .to_vec();
            for setting in group.set {
                arguments.extend(["--set".to_string(), setting]);
            }
            (group.label, arguments)
        };
        experiments.push((experiment.name, experiment.groups.into_iter().map(group).collect()));
    }
    assert!(!experiments.is_empty());
    experiments
}

fn config(arguments: &[String]) -> serde_json::Value {
    let arguments: Vec<&str> = ["config", "--json"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect();
    sac(folder().path(), &arguments).ok().json()
}

#[test]
fn every_experiment_resolves() {
    for (_, groups) in experiments() {
        // Groups of an experiment differ in little; the first and the last are enough.
        for (_, arguments) in [groups.first(), groups.last()].into_iter().flatten() {
            // A Python environment may need a package that the tests do not have; tests/docs.rs reads its settings.
            if arguments[1].starts_with("py:") {
                continue;
            }
            config(arguments);
        }
    }
}

#[test]
fn what_works_on_the_feature_map_is_compared_at_equal_parameters() {
    for (name, groups) in experiments() {
        if !name.starts_with("pixel_pendulum_tokens") {
            continue;
        }
        let counts: Vec<(String, u64)> = groups
            .iter()
            .map(|(label, arguments)| {
                let costs = config(arguments);
                let parts = costs["costs"].as_array().expect("a list of parts").iter();
                let counts = parts.map(|part| part["parameters"].as_u64().expect("a number"));
                (label.clone(), counts.sum())
            })
            .collect();
        assert_eq!(counts.len(), 4, "{name}");
        let (least, most) = (
            counts.iter().map(|(_, count)| *count).min().expect("four"),
            counts.iter().map(|(_, count)| *count).max().expect("four"),
        );
        assert!(most as f64 <= 1.005 * least as f64, "{name}: {counts:?}");
    }
}
