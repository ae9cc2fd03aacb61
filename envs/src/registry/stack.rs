//! [`Stack`]: the wrappers around a task, from the options that every environment has.

use std::num::NonZero;

use serde::Deserialize;

use super::plain::plain_words;
use super::suggest::did_you_mean;
use super::whole::{like, whole_number};
use crate::env::check_spaces;
use crate::{Checked, Env, EnvError, OneHotObservation, RescaleAction, Space, TimeLimit, WrapperSpec};

/// Keys of the options that every environment has.
pub(super) const RESERVED: [&str; 2] = ["time_limit", "wrappers"];

/// The wrappers around a task.
#[derive(Default)]
pub(super) struct Stack {
    /// Maximum number of control steps per episode.
    pub(super) time_limit: Option<NonZero<u64>>,
    /// Python wrappers, innermost first: `package.module:Wrapper`. The process of a Python environment applies them.
    pub(super) python_wrappers: Vec<String>,
    /// Wrappers above the time limit, innermost first.
    pub(super) wrappers: Vec<WrapperSpec>,
    /// Whether the environment is for an agent: with a [`RescaleAction`], and one-hot vectors for discrete observations.
    pub(super) normalised: bool,
}

impl Stack {
    /// Puts the wrappers around `env`: `RescaleAction > wrappers > TimeLimit > Checked > env`, and for an agent a
    /// [`OneHotObservation`] around discrete observations.
    ///
    /// Without configured wrappers the result is a single type without boxes inside, so that all `step` functions can
    /// be inlined: a step of a small task takes less time than the calls would.
    ///
    /// # Errors
    /// [`EnvError::Option`] for a wrapper that does not fit the environment, [`EnvError::Unsupported`] for spaces
    /// that an agent cannot use and for a space with a flaw.
    pub(super) fn around<E: Env + 'static>(&self, id: &str, env: E) -> Result<Box<dyn Env>, EnvError> {
        check_spaces(&env)?;
        let checked = Checked::new(env);
        match self.time_limit {
            Some(limit) => self.around_limited(id, TimeLimit::new(checked, limit)),
            None => self.around_limited(id, checked),
        }
    }

    fn around_limited<E: Env + 'static>(&self, id: &str, env: E) -> Result<Box<dyn Env>, EnvError> {
        if self.wrappers.is_empty() {
            return self.around_wrapped(env);
        }
        let wrapped = self
            .wrappers
            .iter()
            .enumerate()
            .try_fold(Box::new(env) as Box<dyn Env>, |env, (i, spec)| {
                spec.apply(env, i as u64).map_err(|error| match error {
                    EnvError::Unsupported { problem, .. } => wrong(id, &place(i), problem),
                    other => other,
                })
            })?;
        self.around_wrapped(wrapped)
    }

    fn around_wrapped<E: Env + 'static>(&self, env: E) -> Result<Box<dyn Env>, EnvError> {
        if !self.normalised {
            return Ok(Box::new(env));
        }
        let env = Box::new(RescaleAction::new(env)?);
        Ok(match env.observation_space() {
            Space::Box { .. } => env,
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => {
                Box::new(OneHotObservation::new(env as Box<dyn Env>)?)
            }
        })
    }
}

/// Splits `options` into those that every environment has and those of the task.
pub(super) fn split(id: &str, options: &toml::Table) -> Result<(Stack, toml::Table), EnvError> {
    let [time_limit, wrappers] = RESERVED;
    let mut own = options.clone();
    let mut stack = Stack::default();
    if let Some(value) = own.remove(time_limit) {
        let steps = value
            .as_integer()
            .or_else(|| value.as_float().and_then(whole_number))
            .and_then(|steps| u64::try_from(steps).ok())
            .and_then(NonZero::new);
        let wrong = || {
            wrong(
                id,
                time_limit,
                format!("expected a whole number of at least 1, found {value}"),
            )
        };
        stack.time_limit = Some(steps.ok_or_else(wrong)?);
    }
    if let Some(value) = own.remove(wrappers) {
        let expected = |found: &toml::Value| format!("expected tables with a `kind`, found {found}");
        let list = value.as_array().ok_or_else(|| wrong(id, wrappers, expected(&value)))?;
        for (i, value) in list.iter().enumerate() {
            let place = place(i);
            if let Some(python) = value.as_str() {
                if !stack.wrappers.is_empty() {
                    let problem =
                        "Python wrappers are applied inside of the Python process, so they come first in the list";
                    return Err(wrong(id, &place, problem.to_string()));
                }
                stack.python_wrappers.push(python.to_string());
                continue;
            }
            let table = value.as_table().ok_or_else(|| wrong(id, &place, expected(value)))?;
            stack.wrappers.push(read(id, &place, table)?);
        }
    }
    Ok((stack, own))
}

/// The error for a Python wrapper of an environment that is not Python's.
pub(super) fn python_wrapper_refused(id: &str, wrapper: &str) -> EnvError {
    let problem =
        format!("expected tables with a `kind`, found {wrapper:?}, a Python wrapper, which needs an id with `py:`");
    wrong(id, &place(0), problem)
}

fn place(i: usize) -> String {
    format!("wrappers[{i}]")
}

pub(super) fn wrong(id: &str, option: &str, problem: String) -> EnvError {
    EnvError::Option {
        env: id.to_string(),
        option: option.to_string(),
        problem,
    }
}

/// Reads the table of one wrapper: the defaults of its kind, overridden by `given`.
fn read(id: &str, place: &str, given: &toml::Table) -> Result<WrapperSpec, EnvError> {
    const KIND: &str = "kind";
    let kinds: Vec<toml::Table> = WrapperSpec::defaults()
        .into_iter()
        .map(|spec| toml::Table::try_from(spec).expect("a wrapper is a table"))
        .collect();
    let name = |table: &toml::Table| table[KIND].as_str().expect("the kind is a string").to_string();
    let names: Vec<String> = kinds.iter().map(name).collect();
    let known = || names.join(", ");
    let Some(kind) = given.get(KIND) else {
        return Err(wrong(
            id,
            place,
            format!("it has no `kind`; expected one of {}", known()),
        ));
    };
    let key = |key: &str| format!("{place}.{key}");
    let Some(mut table) = kinds.into_iter().find(|table| table[KIND] == *kind) else {
        let hint = did_you_mean(kind.as_str().unwrap_or_default(), names.iter().map(String::as_str));
        let problem = format!("there is no wrapper {kind}; expected one of {}{hint}", known());
        return Err(wrong(id, &key(KIND), problem));
    };
    for (name, value) in given {
        let parameters = || table.keys().map(String::as_str).filter(|key| *key != KIND);
        if !table.contains_key(name) {
            let hint = did_you_mean(name, parameters());
            let known = parameters().collect::<Vec<_>>().join(", ");
            let problem = format!("unknown parameter; expected one of {known}{hint}");
            return Err(wrong(id, &key(name), problem));
        }
        let value = like(&table[name], value);
        table.insert(name.clone(), value);
        WrapperSpec::deserialize(table.clone()).map_err(|e| wrong(id, &key(name), plain_words(e.message())))?;
    }
    WrapperSpec::deserialize(table).map_err(|e| wrong(id, place, plain_words(e.message())))
}
