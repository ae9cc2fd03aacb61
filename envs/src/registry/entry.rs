//! [`EnvEntry`]: an entry of the registry.

use std::num::NonZero;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::plain::plain_words;
use super::stack::{self, Stack};
use super::suggest::did_you_mean;
use super::whole::like;
use crate::python::is_python;
use crate::{Dynamics, Env, EnvError, Manual, Simulated};

/// Makes an environment from the task's options and its wrappers.
type Make = dyn Fn(&toml::Table, &Stack) -> Result<Box<dyn Env>, EnvError> + Send + Sync;
/// Makes the manual page for the task's options.
type Page = dyn Fn(&toml::Table, &Stack) -> Result<Manual, EnvError> + Send + Sync;

/// An entry of the registry: describes one kind of environment and makes environments of that kind.
///
/// A task of your own needs its dynamics and one line to register them:
///
/// ```
/// # use sac_envs::{Dynamics, EnvEntry, NumpyRng, Registry, Space, Transition};
/// # #[derive(Default)]
/// # struct Drift;
/// # impl Dynamics for Drift {
/// #     type State = f32;
/// #     fn observation_space(&self) -> Space { Space::unbounded(1) }
/// #     fn action_space(&self) -> Space { Space::boxed(1, -3.0, 3.0) }
/// #     fn initial(&self, _: &mut NumpyRng) -> f32 { 0.0 }
/// #     fn step(&self, state: &mut f32, action: &[f32], _: &mut NumpyRng) -> Transition {
/// #         *state += action[0];
/// #         Transition { reward: -f64::from(state.abs()), terminated: false }
/// #     }
/// #     fn observe(&self, state: &f32, obs: &mut [f32]) { obs[0] = *state; }
/// # }
/// let mut registry = Registry::builtin();
/// registry.register(EnvEntry::new("Drift-v0", "A point that drifts", || Drift).with_time_limit(50));
/// let env = registry.make_normalised("Drift-v0", &toml::Table::new())?;
/// assert_eq!(env.describe(), "RescaleAction > TimeLimit(50) > Checked > Drift-v0");
/// # Ok::<(), sac_envs::EnvError>(())
/// ```
#[derive(Clone)]
pub struct EnvEntry {
    /// Name and version, such as `Pendulum-v1`.
    pub id: String,
    /// The task in one line.
    pub summary: String,
    /// Group of tasks, such as `classic` or `probe`; `custom` by default.
    pub family: String,
    /// Number of control steps after which an episode is truncated.
    pub time_limit: Option<NonZero<u64>>,
    /// The manual page for the default options.
    pub manual: Manual,
    /// The task's options with their defaults. [`EnvEntry::make`] takes two more, which every environment has.
    pub options: toml::Table,
    /// An error if the entry itself is invalid.
    make: Result<Arc<Make>, EnvError>,
    /// `None` if the manual page does not depend on the options.
    page: Option<Arc<Page>>,
}

impl EnvEntry {
    /// An entry for a task without options.
    pub fn new<D: Dynamics + 'static>(
        id: impl Into<String>,
        summary: impl Into<String>,
        dynamics: impl Fn() -> D + Send + Sync + 'static,
    ) -> Self {
        let id = id.into();
        let name = id.clone();
        EnvEntry::without_options(id, summary, move |stack| {
            stack.around(&name, Simulated::new(name.clone(), dynamics()))
        })
    }

    /// An entry for a task whose options are the serde fields of its dynamics. Their defaults are the values of
    /// `D::default()`. If `D` does not serialise to a table, [`EnvEntry::make`] returns an error.
    pub fn with_options<D>(id: impl Into<String>, summary: impl Into<String>) -> Self
    where
        D: Dynamics + Default + Serialize + DeserializeOwned + 'static,
    {
        let id = id.into();
        let name = id.clone();
        EnvEntry::stacked_from_options(id, summary, move |dynamics: D, stack| {
            stack.around(&name, Simulated::new(name.clone(), dynamics))
        })
    }

    /// An entry for a hand-written [`Env`] whose options are the serde fields of `O`. Their defaults are the values of
    /// `O::default()`. `make` may return an error for invalid options; the `describe()` of the environment that it
    /// returns should be the id. If `O` does not serialise to a table, [`EnvEntry::make`] returns an error.
    pub fn from_options<O>(
        id: impl Into<String>,
        summary: impl Into<String>,
        make: impl Fn(O) -> Result<Box<dyn Env>, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        O: Default + Serialize + DeserializeOwned + 'static,
    {
        let id = id.into();
        let name = id.clone();
        EnvEntry::stacked_from_options(id, summary, move |options: O, stack| {
            stack.around(&name, make(options)?)
        })
    }

    pub(super) fn stacked_from_options<O>(
        id: String,
        summary: impl Into<String>,
        make: impl Fn(O, &Stack) -> Result<Box<dyn Env>, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        O: Default + Serialize + DeserializeOwned + 'static,
    {
        let defaults = match toml::Table::try_from(O::default()) {
            Ok(defaults) => defaults,
            Err(error) => {
                let error = EnvError::Failed {
                    env: id.clone(),
                    problem: format!("its options are not a table: {error}"),
                };
                return EnvEntry::described(id, summary, Err(error));
            }
        };
        let (name, all) = (id.clone(), defaults.clone());
        let make = move |options: &toml::Table, stack: &Stack| make(apply_options(&name, &all, options)?, stack);
        EnvEntry {
            options: defaults,
            ..EnvEntry::described(id, summary, Ok(Arc::new(make)))
        }
    }

    /// An entry for a hand-written [`Env`] without options. Its `describe()` should be the id.
    pub fn from_env(
        id: impl Into<String>,
        summary: impl Into<String>,
        make: impl Fn() -> Box<dyn Env> + Send + Sync + 'static,
    ) -> Self {
        let id = id.into();
        let name = id.clone();
        EnvEntry::without_options(id, summary, move |stack| stack.around(&name, make()))
    }

    fn without_options(
        id: String,
        summary: impl Into<String>,
        make: impl Fn(&Stack) -> Result<Box<dyn Env>, EnvError> + Send + Sync + 'static,
    ) -> Self {
        let name = id.clone();
        let make = move |options: &toml::Table, stack: &Stack| match options.keys().next() {
            None => make(stack),
            Some(key) => Err(unknown_option(&name, key, &toml::Table::new())),
        };
        EnvEntry::described(id, summary, Ok(Arc::new(make)))
    }

    fn described(id: String, summary: impl Into<String>, make: Result<Arc<Make>, EnvError>) -> Self {
        EnvEntry {
            id,
            summary: summary.into(),
            family: "custom".to_string(),
            time_limit: None,
            manual: Manual::default(),
            options: toml::Table::new(),
            make,
            page: None,
        }
    }

    /// Whether a step takes long enough to be worth a thread, as in simulations by MuJoCo.
    pub fn takes_long(&self) -> bool {
        ["mujoco", "fetch"].contains(&self.family.as_str())
    }

    /// Truncates episodes after `steps` control steps. With 0, [`EnvEntry::make`] returns an error.
    #[must_use]
    pub fn with_time_limit(mut self, steps: u64) -> Self {
        self.time_limit = NonZero::new(steps);
        if self.time_limit.is_none() {
            self.make = Err(EnvError::Option {
                env: self.id.clone(),
                option: "time_limit".to_string(),
                problem: "expected at least 1 step, found 0".to_string(),
            });
        }
        self
    }

    /// Adds the manual page.
    #[must_use]
    pub fn with_manual(mut self, manual: Manual) -> Self {
        self.manual = manual;
        self.page = None;
        self
    }

    /// Adds a manual page that depends on the options. They are the serde fields of `O`.
    #[must_use]
    pub fn with_manual_of<O>(mut self, page: impl Fn(&O) -> Manual + Send + Sync + 'static) -> Self
    where
        O: Default + DeserializeOwned + 'static,
    {
        self.manual = page(&O::default());
        self.with_page(move |options, _| Ok(page(&options)))
    }

    /// Adds a manual page that depends on the options and the wrappers, and that can fail.
    pub(super) fn with_page<O>(
        mut self,
        page: impl Fn(O, &Stack) -> Result<Manual, EnvError> + Send + Sync + 'static,
    ) -> Self
    where
        O: DeserializeOwned + 'static,
    {
        let (name, all) = (self.id.clone(), self.options.clone());
        self.page = Some(Arc::new(move |options, stack| {
            page(apply_options(&name, &all, options)?, stack)
        }));
        self
    }

    /// The manual page for these options.
    ///
    /// # Errors
    /// [`EnvError::Option`], as for [`EnvEntry::make`].
    pub fn manual_for(&self, options: &toml::Table) -> Result<Manual, EnvError> {
        match &self.page {
            Some(page) => {
                let (stack, own) = stack::split(&self.id, options)?;
                page(&own, &stack)
            }
            None => Ok(self.manual.clone()),
        }
    }

    /// The complete page for these options as Markdown: the manual, the spaces, and all options with their defaults.
    ///
    /// # Errors
    /// [`EnvError::Option`], as for [`EnvEntry::make`].
    pub fn page(&self, options: &toml::Table) -> Result<String, EnvError> {
        let (manual, env) = (self.manual_for(options)?, self.make(options)?);
        let limit = self
            .time_limit
            .map_or("\"none\"".to_string(), |steps| steps.to_string());
        let goals = env
            .goals()
            .map_or(String::new(), |layout| format!("- goals in it: {layout}\n"));
        let mut page = format!(
            "# {}\n\n{}.\n\n{manual}\n## Spaces\n\n- observation: {}\n{goals}- action: {}\n- order of wrappers: {}\n\n## Options\n\n",
            self.id,
            self.summary,
            env.observation_space(),
            env.action_space(),
            env.describe(),
        );
        page += "| `env.` | default |\n|---|---|\n";
        let own = self
            .options
            .iter()
            .map(|(name, default)| (name.as_str(), default.to_string()));
        let every = [("time_limit", limit), ("wrappers", "[]".to_string())];
        for (name, default) in own.chain(every) {
            page += &format!("| `{name}` | `{default}` |\n");
        }
        page += "\nEvery environment has the last two: the number of env steps until truncation, and the wrappers around the \
                 task (docs/wrappers.md).\n";
        Ok(page)
    }

    /// Sets the family.
    #[must_use]
    pub fn with_family(mut self, family: impl Into<String>) -> Self {
        self.family = family.into();
        self
    }

    /// Makes an environment in the task's own units: `wrappers > TimeLimit > Checked > task`.
    ///
    /// Every environment has two more options: `time_limit` (control steps, overrides the entry's) and `wrappers` (an
    /// array of tables, innermost first; see [`crate::WrapperSpec`]).
    ///
    /// # Errors
    /// [`EnvError::Option`] for an unknown option or an invalid value; [`EnvError::Unsupported`] for a space with a
    /// flaw; an error if the entry itself is invalid.
    pub fn make(&self, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.make_stack(options, false)
    }

    pub(super) fn make_stack(&self, options: &toml::Table, normalised: bool) -> Result<Box<dyn Env>, EnvError> {
        let make = self.make.as_ref().map_err(EnvError::clone)?;
        let (given, own) = stack::split(&self.id, options)?;
        if let (Some(wrapper), false) = (given.python_wrappers.first(), is_python(&self.id)) {
            return Err(stack::python_wrapper_refused(&self.id, wrapper));
        }
        let stack = Stack {
            time_limit: given.time_limit.or(self.time_limit),
            normalised,
            ..given
        };
        make(&own, &stack)
    }
}

/// Reads `D` from the defaults, overridden by `given`.
pub(super) fn apply_options<D: DeserializeOwned>(
    id: &str,
    defaults: &toml::Table,
    given: &toml::Table,
) -> Result<D, EnvError> {
    let read = |table: &toml::Table, key: &str| {
        D::deserialize(table.clone()).map_err(|e| EnvError::Option {
            env: id.to_string(),
            option: key.to_string(),
            problem: plain_words(e.message()),
        })
    };
    // One key at a time, so that each error can name its key.
    let mut table = defaults.clone();
    let mut last_key = "";
    for (key, value) in given {
        if !defaults.contains_key(key) {
            return Err(unknown_option(id, key, defaults));
        }
        let default = &defaults[key];
        if default.is_table() && value.is_array() {
            // Serde would take the values of the list in the order of the fields.
            return Err(EnvError::Option {
                env: id.to_string(),
                option: key.to_string(),
                problem: format!("expected a table, such as {default}"),
            });
        }
        table.insert(key.clone(), like(default, value));
        read(&table, key)?;
        last_key = key;
    }
    read(&table, last_key)
}

fn unknown_option(id: &str, key: &str, defaults: &toml::Table) -> EnvError {
    let known = || defaults.keys().map(String::as_str).chain(stack::RESERVED);
    let hint = did_you_mean(key, known());
    let known = known().collect::<Vec<_>>().join(", ");
    let problem = format!("unknown option; expected one of {known}{hint}");
    EnvError::Option {
        env: id.to_string(),
        option: key.to_string(),
        problem,
    }
}
