//! The file of a sweep: which runs it asks for ([`Sweep::read`]).

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::combinations::{Setting, combinations};
use crate::{
    config::nearest,
    error::{Error, Result},
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

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Below the folder of the sweep.
    pub folder: String,
    /// The group's name and the settings that vary in it.
    pub label: String,
    pub env: String,
    pub algo: String,
    pub env_steps: u64,
    pub seed: u64,
    /// An experiment file, or `none`, as `--config` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Settings, as `--set` takes them.
    pub set: Vec<String>,
}

impl Planned {
    /// Whether another run differs from this one in its seed at most.
    pub fn is_replicate_of(&self, other: &Planned) -> bool {
        (&self.env, &self.algo, self.env_steps) == (&other.env, &other.algo, other.env_steps)
            && (&self.config, &self.set) == (&other.config, &other.set)
    }
}

impl Sweep {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read(path: &Path) -> Result<Sweep> {
        let text = crate::cli::input::read_named(path)?;
        let mut problems = Vec::new();
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return Err(refused(path, &[error.to_string().trim_end().replace('\n', "\n    ")])),
        };
        let sweep = from_table(&table, &mut problems);
        match problems.is_empty() {
            true => Ok(sweep),
            false => Err(refused(path, &problems)),
        }
    }
}

/// An error with all problems of a sweep.
pub fn refused(path: &Path, problems: &[String]) -> Error {
    let count = problems.len();
    let s = if count == 1 { "" } else { "s" };
    Error::Usage(format!(
        "{}: {count} problem{s}, nothing was started\n  {}",
        path.display(),
        problems.join("\n  ")
    ))
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

pub(super) fn check_keys(table: &Table, known: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let meant = nearest(key, known.iter().copied());
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        problems.push(format!("{place}no such key: `{key}`{meant}"));
    }
}

fn seeds(table: &Table, problems: &mut Vec<String>) -> Vec<u64> {
    let whole = |value: &Value| value.as_integer().and_then(|number| u64::try_from(number).ok());
    let seeds: Option<Vec<u64>> = match table.get("seeds") {
        Some(Value::Array(list)) => list.iter().map(whole).collect(),
        Some(value) => whole(value)
            .filter(|count| *count <= MOST_RUNS as u64)
            .map(|count| (1..=count).collect()),
        None => None,
    };
    let seeds = seeds.unwrap_or_default();
    let distinct: BTreeSet<&u64> = seeds.iter().collect();
    if seeds.is_empty() || distinct.len() < seeds.len() {
        problems.push("`seeds`: expected a number of seeds, at least 1, or a list of seeds, no two alike".to_string());
    }
    seeds
}

fn count(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<u64> {
    let value = table.get(key)?;
    let count = value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .filter(|count| *count > 0);
    if count.is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected a whole number, at least 1"));
    }
    count
}

fn text(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<String> {
    let value = table.get(key)?;
    if value.as_str().is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected text"));
    }
    value.as_str().map(str::to_string)
}

/// A text, or a list of them.
fn texts(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Vec<String> {
    let list = match table.get(key) {
        None => return Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let texts: Option<Vec<String>> = list.iter().map(|value| value.as_str().map(str::to_string)).collect();
    texts.unwrap_or_else(|| {
        problems.push(format!("{place}`{key}`: expected text, or a list of texts"));
        Vec::new()
    })
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
