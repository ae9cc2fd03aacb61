//! The file of a sweep: which runs it asks for ([`Sweep::read`]).

use std::{collections::BTreeSet, path::Path};

use toml::{Table, Value};

use super::combinations::{Setting, combinations};
use crate::{
    cli::many::{
        file::{self, check_keys, count, seeds, text, texts},
        planned::Planned,
    },
    error::Result,
};

/// Keys of the file. Those of learning experiments (`cargo xtask curves`) alone are read over.
const KEYS: [&str; 8] = [
    "title",
    "seeds",
    "threads",
    "group",
    "threshold",
    "stages",
    "checkpoint",
    "score",
];

/// Keys of a group.
const GROUP_KEYS: [&str; 11] = [
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

/// Far beyond use. It tells a slip of the finger before anything is made.
const MOST_RUNS: usize = 100_000;

/// What a file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Threads of an update in every run: it is a part of what a run is, and does not depend on the machine.
    pub threads: u64,
    /// Every run, those with the same seed together, so that all settings get one seed before any gets two.
    pub runs: Vec<Planned>,
}

impl Sweep {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read(path: &Path) -> Result<Sweep> {
        file::read(path, from_table)
    }
}

fn from_table(table: &Table, problems: &mut Vec<String>) -> Sweep {
    check_keys(table, &KEYS, "", problems);
    let seeds = seeds(table, problems);
    let threads = count(table, "threads", "", problems).unwrap_or(1);
    let mut replicated = Vec::new();
    match table.get("group") {
        Some(Value::Array(groups)) if !groups.is_empty() => {
            for (index, group) in groups.iter().enumerate() {
                let place = format!("group {}: ", index + 1);
                match group.as_table() {
                    Some(group) => replicated.extend(runs_of_group(group, &place, problems)),
                    None => problems.push(format!("{place}expected a table [[group]]")),
                }
            }
        }
        _ => problems.push("expected at least one table [[group]]".to_string()),
    }
    if replicated.len().saturating_mul(seeds.len()) > MOST_RUNS {
        problems.push(format!("asks for more than {MOST_RUNS} runs"));
        replicated.clear();
    }
    let with_seed = |seed: u64| {
        replicated.iter().map(move |run: &Planned| Planned {
            folder: format!("{}/seed-{seed}", run.folder),
            seed,
            ..run.clone()
        })
    };
    let runs: Vec<Planned> = seeds.iter().flat_map(|seed| with_seed(*seed)).collect();
    let mut seen = BTreeSet::new();
    for run in replicated.iter().filter(|run| !seen.insert(run.folder.clone())) {
        problems.push(format!(
            "`{}` on {} is there twice; give the groups labels",
            run.label, run.env
        ));
    }
    Sweep { threads, runs }
}

/// The runs of a group without their seeds: every environment, algorithm and combination of settings.
fn runs_of_group(group: &Table, place: &str, problems: &mut Vec<String>) -> Vec<Planned> {
    check_keys(group, &GROUP_KEYS, place, problems);
    let label = text(group, "label", place, problems);
    let envs = texts(group, "env", place, problems);
    let algos = texts(group, "algo", place, problems);
    let config = text(group, "config", place, problems);
    let env_steps = count(group, "env_steps", place, problems);
    for (key, is_missing) in [
        ("env", envs.is_empty()),
        ("algo", algos.is_empty()),
        ("env_steps", env_steps.is_none()),
    ] {
        if is_missing && !group.contains_key(key) {
            problems.push(format!("{place}`{key}` is missing"));
        }
    }
    let set = texts(group, "set", place, problems);
    let combinations = combinations(group, place, problems);
    let mut runs = Vec::new();
    for env in &envs {
        for algo in &algos {
            for varied in &combinations {
                let label = label_of(label.as_deref().unwrap_or(algo), algo, algos.len() > 1, varied);
                runs.push(Planned {
                    folder: format!("{}/{}", plain(env), plain(&label)),
                    env: env.clone(),
                    algo: algo.clone(),
                    env_steps: env_steps.unwrap_or_default(),
                    seed: 0,
                    config: config.clone(),
                    set: set
                        .iter()
                        .cloned()
                        .chain(varied.iter().map(Setting::assignment))
                        .collect(),
                    label,
                });
            }
        }
    }
    runs
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

/// A name as part of a path.
fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-.=".contains(c) => c,
        _ => '_',
    };
    name.replace(", ", ",")
        .chars()
        .map(|c| if c == ',' { ',' } else { plain(c) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Sweep, Vec<String>) {
        let mut problems = Vec::new();
        let sweep = from_table(&text.parse().expect("TOML"), &mut problems);
        (sweep, problems)
    }

    #[test]
    fn a_sweep_is_every_environment_algorithm_combination_and_seed_with_the_seeds_outermost() {
        let (sweep, problems) = read(
            "seeds = [3, 7]\n[[group]]\nenv = ['E-v1', 'py:F']\nalgo = ['sac', 'tqc']\nenv_steps = 10\n\
             set = ['train.batch_size=8']\ngrid = { agent.gamma = [0.9, 0.99] }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(sweep.runs.len(), 2 * 2 * 2 * 2);
        assert!(sweep.runs[..8].iter().all(|run| run.seed == 3));
        let last = &sweep.runs[15];
        assert_eq!(last.folder, "py_F/tqc,gamma=0.99/seed-7");
        assert_eq!(last.label, "tqc, gamma=0.99");
        assert_eq!(last.set, ["train.batch_size=8", "agent.gamma=0.99"]);
        assert!(last.is_replicate_of(&sweep.runs[7]) && !last.is_replicate_of(&sweep.runs[6]));
    }

    #[test]
    fn learning_experiments_are_sweeps_too() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("there").flatten() {
            let sweep = Sweep::read(&entry.path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(!sweep.runs.is_empty());
            count += 1;
        }
        assert!(count > 20, "only {count} files");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let (_, problems) = read(
            "seed = 3\nthreads = 0\n[[group]]\nenv = 3\nalgo = 'sac'\nenv_step = 10\n\
             [[group]]\nenv = 'E'\nalgo = 'sac'\nenv_steps = 5\n[[group]]\nenv = 'E'\nalgo = 'sac'\nenv_steps = 6\n",
        );
        for problem in [
            "no such key: `seed`; did you mean `seeds`?",
            "`seeds`: expected a number of seeds",
            "`threads` = 0: expected a whole number",
            "group 1: `env`: expected text",
            "group 1: no such key: `env_step`; did you mean `env_steps`?",
            "group 1: `env_steps` is missing",
            "`sac` on E is there twice",
        ] {
            assert!(
                problems.iter().any(|found| found.contains(problem)),
                "{problem}: {problems:#?}"
            );
        }
        assert_eq!(problems.len(), 7, "{problems:#?}");
    }
}
