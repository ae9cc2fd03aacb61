//! The files of experiments and sweeps: which runs they ask for ([`Experiment::read`]).
//!
//! `sac sweep` and `cargo xtask curves` read the same files. Each uses what concerns it.

mod combinations;
mod group;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::{Table, Value};

use crate::{
    data::Threshold,
    error::Result,
    toml_file::{self, check_keys, check_required, count, number, seeds, text, texts, whole},
};
use combinations::MOST_RUNS;
pub use group::Group;

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

/// What a file asks for: every group with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The file's name without its ending.
    pub name: String,
    /// Above the picture.
    pub title: Option<String>,
    /// A dashed line in the picture.
    pub threshold: Option<Threshold>,
    /// Every group has a run with each.
    pub seeds: Vec<u64>,
    /// Threads of an update in every run: it is a part of what a run is, and does not depend on the machine.
    pub threads: u64,
    /// Of a campaign: numbers of seeds at which its table is worth reading, such as 3, 5 and 10.
    pub stages: Vec<u64>,
    /// Which policy of a run is scored: `best`, `last`, or the env steps of a checkpoint.
    pub checkpoint: String,
    /// Conditions, besides the plain task, under which the trained policies are scored: changes to the environment, as
    /// `sac eval --set` takes them.
    pub conditions: Vec<Vec<String>>,
    /// Curves.
    pub groups: Vec<Group>,
}

impl Experiment {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read(path: &Path) -> Result<Experiment> {
        Experiment::read_for(path, |_, _| {})
    }

    /// Reads a file for a use that may refuse more: `check` gets what could be read of it, and notes what else is wrong.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read_for(path: &Path, check: impl FnOnce(&Experiment, &mut Vec<String>)) -> Result<Experiment> {
        toml_file::read(path, |table, problems| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let experiment = from_table(&name, table, problems);
            check(&experiment, problems);
            experiment
        })
    }

    /// Whether it takes days and may be incomplete: whether its file has `stages`.
    pub fn is_campaign(&self) -> bool {
        !self.stages.is_empty()
    }

    /// The seeds that each stage adds to those before it. Without `stages` all seeds are one.
    pub fn seeds_by_stage(&self) -> Vec<&[u64]> {
        let mut from = 0;
        let mut stage = |to: u64| {
            let seeds = &self.seeds[from..to as usize];
            from = to as usize;
            seeds
        };
        match self.is_campaign() {
            true => self.stages.iter().map(|to| stage(*to)).collect(),
            false => vec![&self.seeds],
        }
    }
}

/// Notes different groups whose runs would have the same folder.
pub fn check_folders<'a>(
    groups: impl Iterator<Item = &'a Group>,
    folder: impl Fn(&Group) -> String,
    problems: &mut Vec<String>,
) {
    let place = |group: &'a Group| (&group.label, &group.env);
    let mut first = BTreeMap::new();
    for group in groups {
        let other = *first.entry(folder(group)).or_insert(group);
        if place(other) != place(group) {
            problems.push(format!(
                "`{}` on {} and `{}` on {} have the same folder; give the groups other labels",
                other.label, other.env, group.label, group.env
            ));
        }
    }
}

fn from_table(name: &str, table: &Table, problems: &mut Vec<String>) -> Experiment {
    check_keys(table, &KEYS, "", problems);
    let seeds = seeds(table, problems);
    let mut groups = group::groups(table, problems);
    if groups.len().saturating_mul(seeds.len()) > MOST_RUNS {
        problems.push(format!("asks for more than {MOST_RUNS} runs"));
        groups.clear();
    }
    let mut seen = BTreeSet::new();
    for group in groups.iter().filter(|group| !seen.insert((&group.label, &group.env))) {
        problems.push(format!(
            "`{}` on {} is there twice; give the groups labels",
            group.label, group.env
        ));
    }
    Experiment {
        name: name.to_string(),
        title: text(table, "title", "", problems),
        threshold: threshold(table, problems),
        threads: count(table, "threads", "", problems).unwrap_or(1),
        stages: stages(table, &seeds, problems),
        checkpoint: checkpoint(table, problems),
        conditions: conditions(table, problems),
        seeds,
        groups,
    }
}

fn threshold(table: &Table, problems: &mut Vec<String>) -> Option<Threshold> {
    let place = "`threshold`: ";
    let threshold = match table.get("threshold")? {
        Value::Table(threshold) => threshold,
        value => {
            problems.push(format!(
                "`threshold` = {value}: expected {{ return = …, label = \"…\" }}"
            ));
            return None;
        }
    };
    check_keys(threshold, &["return", "label"], place, problems);
    check_required(threshold, &["return", "label"], place, problems);
    Some(Threshold {
        at: number(threshold, "return", place, problems).unwrap_or_default(),
        label: text(threshold, "label", place, problems).unwrap_or_default(),
    })
}

/// Numbers of seeds; none of them is above the number of `seeds`, whatever the file says.
fn stages(table: &Table, seeds: &[u64], problems: &mut Vec<String>) -> Vec<u64> {
    let Some(value) = table.get("stages") else {
        return Vec::new();
    };
    let stages: Option<Vec<u64>> = value.as_array().and_then(|stages| stages.iter().map(whole).collect());
    let stages = stages.filter(|stages| stages.is_sorted_by(|a, b| a < b) && stages.first() != Some(&0));
    let Some(stages) = stages else {
        problems.push(format!("`stages` = {value}: expected numbers of seeds that grow"));
        return Vec::new();
    };
    let all = seeds.len() as u64;
    if stages.last().is_some_and(|last| *last != all) {
        if all > 0 {
            problems.push(format!(
                "`stages` = {value}: expected the last one to be all {all} seeds"
            ));
        }
        return Vec::new();
    }
    stages
}

fn checkpoint(table: &Table, problems: &mut Vec<String>) -> String {
    let checkpoint = text(table, "checkpoint", "", problems).unwrap_or_else(|| "best".to_string());
    if !["best", "last"].contains(&checkpoint.as_str()) && checkpoint.parse::<u64>().is_err() {
        problems.push(format!(
            "`checkpoint` = {checkpoint:?}: expected best, last, or the env steps of a checkpoint"
        ));
    }
    checkpoint
}

fn conditions(table: &Table, problems: &mut Vec<String>) -> Vec<Vec<String>> {
    let scores = match table.get("score") {
        None => return Vec::new(),
        Some(Value::Array(scores)) => scores.as_slice(),
        Some(_) => &[],
    };
    if scores.is_empty() || !scores.iter().all(Value::is_table) {
        problems.push("`score`: expected tables [[score]]".to_string());
    }
    let mut conditions = Vec::new();
    for (index, score) in scores.iter().enumerate() {
        let Value::Table(score) = score else { continue };
        let place = format!("score {}: ", index + 1);
        check_keys(score, &["set"], &place, problems);
        check_required(score, &["set"], &place, problems);
        conditions.push(texts(score, "set", &place, problems));
    }
    conditions
}

#[cfg(test)]
mod tests;
