//! Entries of Python environments, which are known by the prefix of their id.

use std::sync::Arc;

use super::entry::{EnvEntry, apply_options};
use super::stack::{self, Stack};
use crate::python::{Description, PythonEnv, PythonObject, PythonOptions, PythonSpec};
use crate::{Env, EnvError};

/// The family of all Python environments.
pub(super) const FAMILY: &str = "python";

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
    .with_family(FAMILY)
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

impl EnvEntry {
    /// An entry for environments of an interpreter in this process. `description` is the JSON that the Python class
    /// `Hosted` of [`HOSTED`](crate::python::HOSTED) says about one of them; `make` is called for every environment.
    /// Its options are those of worker processes, and have no effect but to be written down.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a text that is no description.
    pub fn of_python_objects(
        id: impl Into<String>,
        description: &str,
        make: impl Fn() -> Box<dyn PythonObject> + Send + Sync + 'static,
    ) -> Result<Self, EnvError> {
        let id = id.into();
        let description: Arc<Description> = match serde_json::from_str(description) {
            Ok(description) => Arc::new(description),
            Err(error) => {
                let problem = format!("its description cannot be read: {error}");
                return Err(EnvError::Unsupported { env: id, problem });
            }
        };
        let (name, manual) = (id.clone(), description.manual());
        let make = move |_: PythonOptions, stack: &Stack| {
            if let Some(wrapper) = stack.python_wrappers.first() {
                let problem = format!("{wrapper:?} is a Python wrapper; put it around the environment itself");
                return Err(stack::wrong(&name, "wrappers[0]", problem));
            }
            let env = PythonEnv::of_object(&name, make(), Arc::clone(&description));
            stack.around(&name, env)
        };
        Ok(
            EnvEntry::stacked_from_options(id, "An environment of this Python program", make)
                .with_family(FAMILY)
                .with_manual(manual),
        )
    }
}
