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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, Registry};

    /// Counts steps in place of a Python object.
    struct Counter(std::cell::Cell<f32>);

    impl PythonObject for Counter {
        fn reset(&self, _: Option<u64>, _: Option<&str>, obs: &mut [f32]) -> Result<(), String> {
            self.0.set(0.0);
            obs[0] = 0.0;
            Ok(())
        }

        fn generator(&self) -> Result<Option<String>, String> {
            Ok(None)
        }

        fn step(&self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, String> {
            if action[0] > 1.0 {
                return Err("ValueError: too far".to_string());
            }
            self.0.set(self.0.get() + action[0]);
            obs[0] = self.0.get();
            Ok(Outcome {
                reward: 1.0,
                terminated: false,
                truncated: false,
                success: None,
            })
        }

        fn render(&self) -> Result<(u32, u32, Vec<u8>), String> {
            Err("no picture".to_string())
        }
    }

    const DESCRIPTION: &str = r#"{
        "observation": {"kind": "box", "dtype": "f32", "shape": [1], "low": [null], "high": [null], "names": ["count"]},
        "action": {"kind": "box", "dtype": "f32", "shape": [1], "low": [-2.0], "high": [2.0], "names": ["by"]},
        "time_limit": null, "entry": "counters.Counter", "about": "Counts.", "stack": "<Counter>"
    }"#;

    fn registry(id: &str) -> Registry {
        let make = || Box::new(Counter(std::cell::Cell::new(0.0))) as Box<dyn PythonObject>;
        let mut registry = Registry::empty();
        registry.register(EnvEntry::of_python_objects(id, DESCRIPTION, make).expect("a description"));
        registry
    }

    #[test]
    fn a_registered_object_is_stepped_instead_of_a_worker() {
        let registry = registry("py:Counter-v0");
        let options = "time_limit = 2".parse().expect("TOML");
        let mut envs = registry.make_vec("py:Counter-v0", &options, 2, 4).expect("objects");
        envs.reset(&[1, 2]).expect("a reset");
        let step = envs.step(0..2, &[0.5, 0.25]).expect("a step");
        assert_eq!(step.next_obs, [1.0, 0.5], "in the units of the object");
        assert!(envs.step(0..2, &[0.0, 0.0]).expect("a step").finished.len() == 2);
    }

    #[test]
    fn an_object_that_fails_is_named_with_the_step() {
        let registry = registry("object:Counter");
        let mut env = registry.make("object:Counter", &toml::Table::new()).expect("an object");
        env.reset(Some(0), &mut [0.0]).expect("a reset");
        let error = env.step(&[1.5], &mut [0.0]).expect_err("too far");
        assert_eq!(
            error.to_string(),
            "object:Counter: Python at step 1 of episode 1: ValueError: too far"
        );
        assert!(env.step(&[0.0], &mut [0.0]).is_err(), "not before a reset");
    }

    #[test]
    fn python_wrappers_and_descriptions_that_are_none_are_refused() {
        let options = "wrappers = ['a.b:C']".parse().expect("TOML");
        let refused = registry("py:Counter-v0").make("py:Counter-v0", &options);
        assert!(
            refused
                .err()
                .expect("refused")
                .to_string()
                .contains("put it around the environment itself")
        );
        let make = || Box::new(Counter(std::cell::Cell::new(0.0))) as Box<dyn PythonObject>;
        assert!(EnvEntry::of_python_objects("object:Counter", "{}", make).is_err());
    }
}
