//! Entries of Python environments, which are known by the prefix of their id.

use super::entry::{EnvEntry, apply_options};
use super::stack::{self, Stack};
use crate::python::{PythonEnv, PythonOptions, PythonSpec};
use crate::{Env, EnvError};

/// The entry of a Python environment. Whether Python knows it shows when it is made.
pub(super) fn entry(id: &str) -> EnvEntry {
    let name = id.to_string();
    let page_name = name.clone();
    let one = |name: &str, options, stack: &Stack| {
        let spec = PythonSpec::new(name, options, &stack.python_wrappers, stack.time_limit)?;
        let made = PythonEnv::start(&spec, 1)?.pop();
        made.ok_or_else(|| EnvError::Failed {
            env: name.to_string(),
            problem: "nothing was made".to_string(),
        })
    };
    EnvEntry::stacked_from_options(
        id.to_string(),
        "An environment written in Python",
        move |options, stack| stack.around(&name, one(&name, options, stack)?),
    )
    .with_family("python")
    .with_page(move |options: PythonOptions, stack| Ok(one(&page_name, options, stack)?.manual()))
}

/// `num_envs` environments as agents use them, and the number of processes that step them.
pub(super) fn make_normalised(
    id: &str,
    options: &toml::Table,
    num_envs: usize,
) -> Result<(Vec<Box<dyn Env>>, usize), EnvError> {
    let (given, own) = stack::split(id, options)?;
    let options: PythonOptions = apply_options(id, &entry(id).options, &own)?;
    let stack = Stack {
        normalised: true,
        ..given
    };
    let spec = PythonSpec::new(id, options, &stack.python_wrappers, stack.time_limit)?;
    let envs = PythonEnv::start(&spec, num_envs)?;
    let wrapped = envs
        .into_iter()
        .map(|env| stack.around(id, env))
        .collect::<Result<_, _>>()?;
    Ok((wrapped, spec.workers(num_envs)))
}
