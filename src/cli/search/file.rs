//! The file of a search: what it varies, and how ([`Search::read`]).

use std::path::Path;

use sac_report::toml_file::{self, check_keys, check_required, count, seeds, text, texts};
use serde::Serialize;
use toml::{Table, Value};

use super::{
    sampler::Sampler,
    space::{Point, Space},
    table,
};
use crate::{cli::many::planned::Planned, error::Result};

const KEYS: [&str; 14] = [
    "env",
    "algo",
    "env_steps",
    "config",
    "set",
    "trials",
    "seeds",
    "threads",
    "objective",
    "sampler",
    "seed",
    "prune",
    "space",
    "title",
];
const PRUNE_KEYS: [&str; 2] = ["min_env_steps", "reduction_factor"];

/// Far beyond use, and as many as the Sobol sequence has.
const MOST_TRIALS: u64 = 65_536;

/// What a file asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    pub env: String,
    pub algo: String,
    /// Of a trial that is not paused for good.
    pub env_steps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Settings of all trials.
    pub set: Vec<String>,
    /// Runs of a trial.
    pub seeds: Vec<u64>,
    /// Threads of the updates of every run.
    pub threads: u64,
    pub objective: Objective,
    pub sampler: Sampler,
    /// Of the sampler.
    pub seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    pub space: Space,
    /// More of them may be asked for later.
    #[serde(skip)]
    pub trials: u64,
}

/// What of an evaluation curve is to be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The mean of the last tenth of the evaluations.
    Last,
    /// The highest evaluation.
    Best,
    /// The mean of all evaluations.
    Area,
}

/// Successive halving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Prune {
    /// No trial is paused before it.
    pub min_env_steps: u64,
    /// One in so many trials goes on.
    pub reduction_factor: u64,
}

impl Objective {
    const NAMES: [(&'static str, Objective); 3] = [
        ("last", Objective::Last),
        ("best", Objective::Best),
        ("area", Objective::Area),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, one)| *one == self)
            .map_or("", |(name, _)| name)
    }

    /// Of the mean returns of evaluations, in their order; `None` without any.
    pub fn of(self, returns: &[f64]) -> Option<f64> {
        match self {
            Objective::Last => sac_report::statistics::final_score(returns),
            Objective::Best => returns.iter().copied().reduce(f64::max),
            Objective::Area => (!returns.is_empty()).then(|| returns.iter().sum::<f64>() / returns.len() as f64),
        }
    }
}

impl Search {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read(path: &Path) -> Result<Search> {
        Ok(toml_file::read(path, from_table)?)
    }

    /// The run of a point with a seed.
    pub fn run(&self, number: u64, point: &Point, seed: u64) -> Planned {
        Planned {
            folder: format!("{}/seed-{seed}", trial_folder(number)),
            label: format!("trial {number}"),
            env: self.env.clone(),
            algo: self.algo.clone(),
            env_steps: self.env_steps,
            seed,
            config: self.config.clone(),
            set: self.set.iter().cloned().chain(self.space.assignments(point)).collect(),
        }
    }

    /// The runs of a trial.
    pub fn runs(&self, number: u64, point: &Point) -> Vec<Planned> {
        self.seeds.iter().map(|seed| self.run(number, point, *seed)).collect()
    }
}

/// The folder of a trial, within that of its search.
pub fn trial_folder(number: u64) -> String {
    format!("trial-{number:04}")
}

fn from_table(table: &Table, problems: &mut Vec<String>) -> Search {
    check_keys(table, &KEYS, "", problems);
    check_required(table, &["env", "algo", "env_steps", "trials"], "", problems);
    let trials = count(table, "trials", "", problems).unwrap_or(1);
    if trials > MOST_TRIALS {
        problems.push(format!("`trials` = {trials}: more than {MOST_TRIALS}"));
    }
    let space = match table.get("space") {
        Some(Value::Table(space)) => table::space(space, problems),
        _ => {
            problems.push("expected a table [space] with the settings to vary".to_string());
            Space(Vec::new())
        }
    };
    Search {
        env: text(table, "env", "", problems).unwrap_or_default(),
        algo: text(table, "algo", "", problems).unwrap_or_default(),
        env_steps: count(table, "env_steps", "", problems).unwrap_or(1),
        config: text(table, "config", "", problems),
        set: texts(table, "set", "", problems),
        seeds: match table.contains_key("seeds") {
            true => seeds(table, problems),
            false => vec![1],
        },
        threads: count(table, "threads", "", problems).unwrap_or(1),
        objective: named(table, "objective", Objective::NAMES, problems),
        sampler: named(table, "sampler", Sampler::NAMES, problems),
        seed: count(table, "seed", "", problems).unwrap_or(1),
        prune: prune(table, problems),
        space,
        trials,
    }
}

/// One of several names; the first is the default.
fn named<T: Copy, const N: usize>(table: &Table, key: &str, names: [(&str, T); N], problems: &mut Vec<String>) -> T {
    let (_, default) = names[0];
    let Some(value) = table.get(key) else { return default };
    let found = names.iter().find(|(name, _)| value.as_str() == Some(name));
    found.map_or_else(
        || {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            problems.push(format!("`{key}` = {value}: expected one of {}", known.join(", ")));
            default
        },
        |(_, one)| *one,
    )
}

fn prune(table: &Table, problems: &mut Vec<String>) -> Option<Prune> {
    let prune = match table.get("prune")? {
        Value::Table(prune) => prune,
        value => {
            problems.push(format!(
                "`prune` = {value}: expected {{ min_env_steps = …, reduction_factor = 3 }}"
            ));
            return None;
        }
    };
    check_keys(prune, &PRUNE_KEYS, "`prune`: ", problems);
    check_required(prune, &["min_env_steps"], "`prune`: ", problems);
    let min_env_steps = count(prune, "min_env_steps", "`prune`: ", problems);
    let reduction_factor = count(prune, "reduction_factor", "`prune`: ", problems).unwrap_or(3);
    if reduction_factor == 1 {
        problems.push("`prune`: `reduction_factor` = 1: expected at least 2".to_string());
    }
    Some(Prune {
        min_env_steps: min_env_steps?,
        reduction_factor: reduction_factor.max(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Search, Vec<String>) {
        let mut problems = Vec::new();
        let search = from_table(&text.parse().expect("TOML"), &mut problems);
        (search, problems)
    }

    #[test]
    fn a_file_has_defaults_for_all_but_what_to_train_and_vary() {
        let (search, problems) = read(
            "env = 'E-v0'\nalgo = 'sac'\nenv_steps = 100\ntrials = 5\nset = ['a=1']\nseeds = 2\n\
             prune = { min_env_steps = 10 }\n[space]\nagent.gamma = { min = 0.9, max = 0.99 }",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            (search.objective, search.sampler, search.seed),
            (Objective::Last, Sampler::Tpe, 1)
        );
        assert_eq!(search.prune.expect("there").reduction_factor, 3);
        let runs = search.runs(7, &Point::from([("agent.gamma".to_string(), 0.95)]));
        assert_eq!(runs[1].folder, "trial-0007/seed-2");
        assert_eq!(runs[1].set, ["a=1", "agent.gamma=0.95"]);
    }

    #[test]
    fn objectives_are_of_the_end_the_top_and_the_whole_of_a_curve() {
        let curve: Vec<f64> = (0..20).map(f64::from).collect();
        let of = |objective: Objective| objective.of(&curve).expect("evaluations");
        assert_eq!(
            [Objective::Last, Objective::Best, Objective::Area].map(of),
            [18.5, 19.0, 9.5]
        );
        assert_eq!(Objective::Area.of(&[]), None);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let (_, problems) =
            read("env = 3\nsteps = 100\ntrials = 0\nsampler = 'grid'\nseeds = 0\nprune = { reduction_factor = 1 }");
        for problem in [
            "no such key: `steps`",
            "`env` = 3: expected text",
            "`algo` is missing",
            "`env_steps` is missing",
            "`trials` = 0: expected a whole number",
            "`sampler` = \"grid\": expected one of tpe, random, quasi_random",
            "`seeds`: expected a number of seeds",
            "`prune`: `min_env_steps` is missing",
            "`prune`: `reduction_factor` = 1: expected at least 2",
            "expected a table [space]",
        ] {
            assert!(
                problems.iter().any(|found| found.contains(problem)),
                "{problem}: {problems:#?}"
            );
        }
        assert_eq!(problems.len(), 10, "{problems:#?}");
    }
}
