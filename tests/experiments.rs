//! The long experiments of `configs/experiments`: that they can be run, and that they compare what they say.

use std::{fs, path::Path};

use crate::support::{folder, sac};

/// Its label, and the arguments that name its environment, preset and settings.
type Group = (String, Vec<String>);

/// File names without their ending, and groups.
fn experiments() -> Vec<(String, Vec<Group>)> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
    let mut experiments = Vec::new();
    for entry in fs::read_dir(configs).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let text = fs::read_to_string(&path).expect("it can be read");
        let table: toml::Table = text.parse().expect("it is TOML");
        let groups = table["group"]
            .as_array()
            .expect("groups are a list")
            .iter()
            .flat_map(|group| {
                let envs = match &group["env"] {
                    toml::Value::Array(envs) => envs.clone(),
                    env => vec![env.clone()],
                };
                envs.into_iter().map(move |env| (group, env))
            })
            .map(|(group, env)| {
                let text = |key: &str| group[key].as_str().expect("it is text").to_string();
                let env = env.as_str().expect("it is text").to_string();
                let mut arguments = vec!["--env".to_string(), env, "--algo".to_string(), text("algo")];
                for setting in group.get("set").and_then(toml::Value::as_array).into_iter().flatten() {
                    let setting = setting.as_str().expect("settings are text");
                    arguments.extend(["--set".to_string(), setting.to_string()]);
                }
                (text("label"), arguments)
            });
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        experiments.push((name, groups.collect()));
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
