//! Trials as Optuna's journal storage has them ([`Journal`]), so that its dashboard and its library open a search.
//!
//! The file is a list of operations, a JSON object per line. Trials are numbered in the order in which they were begun.
//! Processes take turns to read and write it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::space::{Point, Range, Space};
use crate::{
    error::{Error, Result},
    run::utc_now,
};

/// Codes of the operations.
const CREATE_STUDY: u64 = 0;
const SET_STUDY_USER_ATTR: u64 = 2;
const CREATE_TRIAL: u64 = 4;
const SET_TRIAL_PARAM: u64 = 5;
const SET_TRIAL_STATE: u64 = 6;
const SET_INTERMEDIATE_VALUE: u64 = 7;
const SET_TRIAL_USER_ATTR: u64 = 8;

/// Codes of states and directions.
const COMPLETE: u64 = 1;
const PRUNED: u64 = 2;
const FAILED: u64 = 3;
const MAXIMIZE: u64 = 2;

/// Attributes of a trial: the env steps it is to reach next, why it failed.
const UNTIL: &str = "until_env_steps";
const FAILURE: &str = "failure";

/// A trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    pub number: u64,
    pub point: Point,
    /// Its value by the env steps after which it paused or ended.
    pub reports: BTreeMap<u64, f64>,
    /// The env steps that it is to reach; `None` where the process that began it was killed in that moment.
    pub until: Option<u64>,
    pub ended: Option<Ended>,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Complete,
    Pruned,
    Failed(String),
}

impl Trial {
    /// The last env steps with a value, and the value.
    pub fn newest(&self) -> Option<(u64, f64)> {
        self.reports.last_key_value().map(|(steps, value)| (*steps, *value))
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        match &self.ended {
            Some(Ended::Failed(reason)) => Some(reason),
            _ => None,
        }
    }

    /// Whether it is to reach env steps that it has no value for.
    pub fn is_under_way(&self) -> bool {
        self.ended.is_none() && self.until.is_some_and(|until| !self.reports.contains_key(&until))
    }
}

/// The file.
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    pub fn new(path: PathBuf) -> Journal {
        Journal { path }
    }

    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// All trials.
    ///
    /// # Errors
    /// When the file cannot be read, or is no journal.
    pub fn trials(&self) -> Result<Vec<Trial>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(&self.path)(error)),
        };
        let mut trials = Vec::new();
        for (index, line) in whole(&text).lines().enumerate() {
            let read = serde_json::from_str(line).map_err(|error| error.to_string());
            read.and_then(|operation| take_in(&operation, &mut trials))
                .map_err(|problem| Error::NotARun {
                    path: self.path.clone(),
                    problem: format!("line {} is not of Optuna's journal: {problem}", index + 1),
                })?;
        }
        Ok(trials)
    }

    /// Begins the file, with what a search is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(&self, name: &str, attributes: &[(&str, String)]) -> Result<()> {
        let mut operations = vec![json!({"op_code": CREATE_STUDY, "study_name": name, "directions": [MAXIMIZE]})];
        for (key, value) in attributes {
            operations.push(json!({"op_code": SET_STUDY_USER_ATTR, "study_id": 0, "user_attr": {*key: value}}));
        }
        self.append(operations)
    }

    /// Notes a new trial.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn begin(&self, trial: &Trial, space: &Space, folder: &str) -> Result<()> {
        let mut operations = vec![json!({"op_code": CREATE_TRIAL, "study_id": 0, "datetime_start": now()})];
        for parameter in &space.0 {
            let Some(raw) = trial.point.get(&parameter.key) else {
                continue;
            };
            operations.push(json!({
                "op_code": SET_TRIAL_PARAM,
                "trial_id": trial.number,
                "param_name": parameter.key,
                "param_value_internal": raw,
                "distribution": distribution(&parameter.range).to_string(),
            }));
        }
        operations.push(attribute(trial.number, "run", json!(folder)));
        // The last one: without it, a trial was never begun.
        operations.push(attribute(trial.number, UNTIL, json!(trial.until)));
        self.append(operations)
    }

    /// Notes that a trial goes on.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn promote(&self, number: u64, until: u64) -> Result<()> {
        self.append(vec![attribute(number, UNTIL, json!(until))])
    }

    /// Notes the value of a trial.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn report(&self, number: u64, env_steps: u64, value: f64) -> Result<()> {
        self.append(vec![json!({
            "op_code": SET_INTERMEDIATE_VALUE,
            "trial_id": number,
            "step": env_steps,
            "intermediate_value": value,
        })])
    }

    /// Notes the end of a trial, with its value unless it failed.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn end(&self, number: u64, ended: &Ended, value: Option<f64>) -> Result<()> {
        let (state, reason) = match ended {
            Ended::Complete => (COMPLETE, None),
            Ended::Pruned => (PRUNED, None),
            Ended::Failed(reason) => (FAILED, Some(reason)),
        };
        let reason = reason.map(|reason| attribute(number, FAILURE, json!(reason)));
        let state = json!({
            "op_code": SET_TRIAL_STATE,
            "trial_id": number,
            "state": state,
            "values": value.map(|value| [value]),
            "datetime_complete": now(),
        });
        self.append(reason.into_iter().chain([state]).collect())
    }

    /// Adds operations in one piece, after removing what a process that was killed has left of a line.
    fn append(&self, operations: Vec<Value>) -> Result<()> {
        let io = Error::io(&self.path);
        let write = || -> std::io::Result<()> {
            let mut file = File::options().create(true).read(true).append(true).open(&self.path)?;
            let text = fs::read_to_string(&self.path)?;
            if whole(&text).len() < text.len() {
                file.set_len(whole(&text).len() as u64)?;
            }
            let mut lines = String::new();
            for mut operation in operations {
                operation["worker_id"] = json!(format!("sac-{}", std::process::id()));
                lines += &format!("{operation}\n");
            }
            file.write_all(lines.as_bytes())?;
            file.sync_data()
        };
        write().map_err(io)
    }
}

/// The text up to the end of its last whole line.
fn whole(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

fn attribute(number: u64, key: &str, value: Value) -> Value {
    json!({"op_code": SET_TRIAL_USER_ATTR, "trial_id": number, "user_attr": {key: value}})
}

/// A time as Optuna writes it.
fn now() -> String {
    utc_now().replace('Z', "+00:00")
}

/// A range as Optuna has it.
fn distribution(range: &Range) -> Value {
    let (name, attributes) = match range {
        Range::Float { min, max, log, step } => (
            "FloatDistribution",
            json!({"step": step, "low": min, "high": max, "log": log}),
        ),
        Range::Integer { min, max, log, step } => (
            "IntDistribution",
            json!({"log": log, "step": step, "low": min, "high": max}),
        ),
        Range::Choice(values) => ("CategoricalDistribution", json!({"choices": choices(values)})),
    };
    json!({"name": name, "attributes": attributes})
}

/// Optuna knows texts, numbers and truth values; anything else is shown as a text.
fn choices(values: &[toml::Value]) -> Vec<Value> {
    let shown = |value: &toml::Value| match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(truth) => json!(truth),
        other => json!(other.to_string()),
    };
    values.iter().map(shown).collect()
}

/// Takes an operation in. Those that do not concern trials, or that the dashboard adds, are read over.
fn take_in(operation: &Value, trials: &mut Vec<Trial>) -> std::result::Result<(), String> {
    let code = operation["op_code"].as_u64().ok_or("no op_code")?;
    if code == CREATE_TRIAL {
        trials.push(Trial {
            number: trials.len() as u64,
            ..Trial::default()
        });
        return Ok(());
    }
    if ![
        SET_TRIAL_PARAM,
        SET_TRIAL_STATE,
        SET_INTERMEDIATE_VALUE,
        SET_TRIAL_USER_ATTR,
    ]
    .contains(&code)
    {
        return Ok(());
    }
    let number = operation["trial_id"].as_u64().ok_or("no trial_id")?;
    let trial = trials
        .get_mut(number as usize)
        .ok_or_else(|| format!("there is no trial {number}"))?;
    match code {
        SET_TRIAL_PARAM => {
            let name = operation["param_name"].as_str().ok_or("no param_name")?;
            let value = operation["param_value_internal"]
                .as_f64()
                .ok_or("no param_value_internal")?;
            trial.point.insert(name.to_string(), value);
        }
        SET_INTERMEDIATE_VALUE => {
            let step = operation["step"].as_u64().ok_or("no step")?;
            let value = operation["intermediate_value"]
                .as_f64()
                .ok_or("no intermediate_value")?;
            trial.reports.insert(step, value);
        }
        SET_TRIAL_USER_ATTR => {
            if let Some(until) = operation["user_attr"][UNTIL].as_u64() {
                trial.until = Some(until);
            }
            if let Some(reason) = operation["user_attr"][FAILURE].as_str() {
                trial.ended = Some(Ended::Failed(reason.to_string()));
            }
        }
        _ => {
            trial.ended = match operation["state"].as_u64() {
                Some(COMPLETE) => Some(Ended::Complete),
                Some(PRUNED) => Some(Ended::Pruned),
                Some(FAILED) => trial.ended.take().or_else(|| Some(Ended::Failed(String::new()))),
                _ => None,
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::search::table;

    #[test]
    fn a_journal_gives_back_its_trials_without_what_was_cut_off() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let path = here.path().join("journal.log");
        let journal = Journal::new(path.clone());
        let mut problems = Vec::new();
        let text = "a.b = { min = 1e-5, max = 1.0, log = true }\nc = { choice = ['x', { kind = 'y' }] }";
        let space = table::space(&text.parse().expect("TOML"), &mut problems);
        let trial = |number, until| Trial {
            number,
            point: Point::from([("a.b".to_string(), 0.1 + 0.2), ("c".to_string(), 1.0)]),
            until: Some(until),
            ..Trial::default()
        };
        journal.create("x", &[("env", "E".to_string())]).expect("written");
        journal.begin(&trial(0, 100), &space, "trial-0000").expect("written");
        journal.begin(&trial(1, 100), &space, "trial-0001").expect("written");
        journal.report(1, 100, -3.5).expect("written");
        journal.promote(1, 300).expect("written");
        journal
            .end(0, &Ended::Failed("why".to_string()), None)
            .expect("written");
        let mut file = File::options().append(true).open(&path).expect("there");
        file.write_all(b"{\"op_code\": 7, \"tri").expect("written");
        assert_eq!(journal.trials().expect("a journal").len(), 2, "half a line is not read");
        journal.report(1, 300, -1.0).expect("written");
        let trials = journal.trials().expect("a journal");
        assert_eq!(trials[0].ended, Some(Ended::Failed("why".to_string())));
        let mut expected = trial(1, 300);
        expected.reports = BTreeMap::from([(100, -3.5), (300, -1.0)]);
        assert_eq!(trials[1], expected);
        assert!(!trials[1].is_under_way());
        journal.end(1, &Ended::Complete, Some(-1.0)).expect("written");
        assert_eq!(journal.trials().expect("a journal")[1].ended, Some(Ended::Complete));

        fs::write(&path, "{\"op_code\": 5, \"trial_id\": 3}\n").expect("written");
        let error = journal.trials().expect_err("no trial").to_string();
        assert!(
            error.contains("line 1 is not of Optuna's journal: there is no trial 3"),
            "{error}"
        );
    }
}
