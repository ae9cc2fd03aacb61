//! [`Registry`]: from an id and options to an environment.

mod stack;

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use std::num::NonZero;

use self::stack::Stack;
use crate::{Dynamics, Env, EnvError, Manual, Serial, Simulated, Threaded, VecEnv, classic, entity, probe};

/// From the task's own options and what goes around it.
type Make = dyn Fn(&toml::Table, &Stack) -> Result<Box<dyn Env>, EnvError> + Send + Sync;
type Page = dyn Fn(&toml::Table) -> Result<Manual, EnvError> + Send + Sync;

/// Ids of the tasks that the Cargo feature `mujoco` brings.
const MUJOCO_IDS: [&str; 11] = [
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
    "Swimmer-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "HalfCheetah-v5",
    "Ant-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
];

/// One kind of environment: what `sac envs` shows of it, and how to make one.
///
/// A task of your own needs its dynamics and one line:
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
    /// One line.
    pub summary: String,
    /// Where it belongs: `classic`, `probe`, or `custom` unless said otherwise.
    pub family: String,
    /// Control steps after which an episode is truncated.
    pub time_limit: Option<NonZero<u64>>,
    /// The manual page, with the default options.
    pub manual: Manual,
    /// Every option of its own with its default; [`EnvEntry::make`] takes two more.
    pub options: toml::Table,
    /// An error if the entry itself is invalid.
    make: Result<Arc<Make>, EnvError>,
    /// `None` where no option changes the manual page.
    page: Option<Arc<Page>>,
}

impl EnvEntry {
    /// A task without options.
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

    /// A task whose options are the serde fields of its dynamics, with the values of `D::default()` unless given.
    /// If `D` does not serialise to a table, [`EnvEntry::make`] returns an error.
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

    /// A hand-written [`Env`] whose options are the serde fields of `O`, with the values of `O::default()` unless
    /// given. `make` may refuse them; the `describe()` of what it makes should be the id.
    /// If `O` does not serialise to a table, [`EnvEntry::make`] returns an error.
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

    fn stacked_from_options<O>(
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

    /// A hand-written [`Env`] without options. Its `describe()` should be the id.
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

    /// Adds a manual page that depends on the options, which are the serde fields of `O`.
    #[must_use]
    pub fn with_manual_of<O>(mut self, page: impl Fn(&O) -> Manual + Send + Sync + 'static) -> Self
    where
        O: Default + DeserializeOwned + 'static,
    {
        self.manual = page(&O::default());
        let (name, all) = (self.id.clone(), self.options.clone());
        self.page = Some(Arc::new(move |options| Ok(page(&apply_options(&name, &all, options)?))));
        self
    }

    /// The manual page of the environment that [`EnvEntry::make`] makes with these options.
    ///
    /// # Errors
    /// [`EnvError::Option`], as for [`EnvEntry::make`].
    pub fn manual_for(&self, options: &toml::Table) -> Result<Manual, EnvError> {
        match &self.page {
            // The reserved options are not the task's.
            Some(page) => page(&stack::split(&self.id, options)?.1),
            None => Ok(self.manual.clone()),
        }
    }

    /// The whole page of the environment that [`EnvEntry::make`] makes with these options, as Markdown: its manual, its
    /// spaces, and its options with their defaults.
    ///
    /// # Errors
    /// [`EnvError::Option`], as for [`EnvEntry::make`].
    pub fn page(&self, options: &toml::Table) -> Result<String, EnvError> {
        let (manual, env) = (self.manual_for(options)?, self.make(options)?);
        let limit = self
            .time_limit
            .map_or("\"none\"".to_string(), |steps| steps.to_string());
        let mut page = format!(
            "# {}\n\n{}.\n\n{manual}\n## Spaces\n\n- observation: {}\n- action: {}\n- order of wrappers: {}\n\n## Options\n\n",
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
        page += "\nEvery environment has the last two: env steps until truncation, and what is put around the task \
                 (docs/wrappers.md).\n";
        Ok(page)
    }

    /// Puts the entry into a family.
    #[must_use]
    pub fn with_family(mut self, family: impl Into<String>) -> Self {
        self.family = family.into();
        self
    }

    /// The environment in the task's own units: `wrappers > TimeLimit > Checked > task`.
    ///
    /// Two options belong to every environment: `time_limit` (control steps, instead of the entry's) and `wrappers` (an
    /// array of tables, innermost first; see [`crate::WrapperSpec`]).
    ///
    /// # Errors
    /// [`EnvError::Option`] for an option that it does not have, or a value that it does not take.
    pub fn make(&self, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.make_stack(options, false)
    }

    fn make_stack(&self, options: &toml::Table, normalised: bool) -> Result<Box<dyn Env>, EnvError> {
        let make = self.make.as_ref().map_err(EnvError::clone)?;
        let (given, own) = stack::split(&self.id, options)?;
        let stack = Stack {
            time_limit: given.time_limit.or(self.time_limit),
            normalised,
            ..given
        };
        make(&own, &stack)
    }
}

/// Reads `D` from the defaults with `given` laid over them.
fn apply_options<D: DeserializeOwned>(id: &str, defaults: &toml::Table, given: &toml::Table) -> Result<D, EnvError> {
    let read = |table: &toml::Table, key: &str| {
        D::deserialize(table.clone()).map_err(|e| EnvError::Option {
            env: id.to_string(),
            option: key.to_string(),
            problem: e.message().trim_end().to_string(),
        })
    };
    // One key after the other, so that an error belongs to a key.
    let mut table = defaults.clone();
    let mut last_key = "";
    for (key, value) in given {
        if !defaults.contains_key(key) {
            return Err(unknown_option(id, key, defaults));
        }
        table.insert(key.clone(), value.clone());
        read(&table, key)?;
        last_key = key;
    }
    read(&table, last_key)
}

fn unknown_option(id: &str, key: &str, defaults: &toml::Table) -> EnvError {
    let problem = if defaults.is_empty() {
        let hint = did_you_mean(key, stack::RESERVED.into_iter());
        format!("there is no such option; this environment has none{hint}")
    } else {
        let hint = did_you_mean(key, defaults.keys().map(String::as_str).chain(stack::RESERVED));
        let keys: Vec<&str> = defaults.keys().map(String::as_str).collect();
        format!("there is no such option; there is {}{hint}", keys.join(", "))
    };
    EnvError::Option {
        env: id.to_string(),
        option: key.to_string(),
        problem,
    }
}

/// The kinds of environments there are. A plain value: a program makes one and adds its own tasks to it.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Vec<EnvEntry>,
}

impl Registry {
    /// Nothing registered.
    pub fn empty() -> Self {
        Registry::default()
    }

    /// Everything this crate brings: the classic control tasks, the MuJoCo tasks if this build has them, the entity
    /// tasks, then the probes.
    pub fn builtin() -> Self {
        let mut entries = classic::entries();
        #[cfg(feature = "mujoco")]
        entries.extend(crate::mujoco::entries());
        entries.extend(entity::entries());
        entries.extend(probe::entries());
        Registry { entries }
    }

    /// Adds an entry at the end. An entry of the same id is replaced in its place and returned.
    pub fn register(&mut self, entry: EnvEntry) -> Option<EnvEntry> {
        match self.entries.iter_mut().find(|known| known.id == entry.id) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    /// All entries, in the order of registration.
    pub fn entries(&self) -> &[EnvEntry] {
        &self.entries
    }

    /// All ids, in the order of registration.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.id.as_str())
    }

    /// The entry of an id.
    ///
    /// # Errors
    /// [`EnvError::UnknownId`], with the nearest id: other capitals, another version, or a few other letters;
    /// [`EnvError::NotBuilt`] for an environment that this build leaves out.
    pub fn get(&self, id: &str) -> Result<&EnvEntry, EnvError> {
        self.entries.iter().find(|entry| entry.id == id).ok_or_else(|| {
            let id = id.to_string();
            if cfg!(not(feature = "mujoco")) && MUJOCO_IDS.contains(&id.as_str()) {
                return EnvError::NotBuilt { id, feature: "mujoco" };
            }
            let suggestion = self.suggest(&id);
            EnvError::UnknownId { id, suggestion }
        })
    }

    /// See [`EnvEntry::make`].
    ///
    /// # Errors
    /// [`EnvError::UnknownId`] or [`EnvError::Option`].
    pub fn make(&self, id: &str, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.get(id)?.make(options)
    }

    /// The environment for agents, whose actions lie in [-1, 1]: `RescaleAction > wrappers > TimeLimit > Checked > task`.
    ///
    /// # Errors
    /// As [`Registry::make`], and [`EnvError::Unsupported`] for actions without bounds.
    pub fn make_normalised(&self, id: &str, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.get(id)?.make_stack(options, true)
    }

    /// `num_envs` normalised environments, on `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// As [`Registry::make_normalised`], and [`EnvError::Unsupported`] for no environments at all.
    pub fn make_vec(
        &self,
        id: &str,
        options: &toml::Table,
        num_envs: usize,
        threads: usize,
    ) -> Result<Box<dyn VecEnv>, EnvError> {
        let envs = (0..num_envs)
            .map(|_| self.make_normalised(id, options))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(if threads > 1 {
            Box::new(Threaded::new(envs, threads)?)
        } else {
            Box::new(Serial::new(envs)?)
        })
    }

    fn suggest(&self, id: &str) -> Option<String> {
        let wanted = id.to_lowercase();
        let stem = |id: &str| {
            id.to_lowercase()
                .rsplit_once("-v")
                .map_or(id.to_lowercase(), |(stem, _)| stem.to_string())
        };
        let same = |key: &dyn Fn(&str) -> String, wanted: &str| {
            self.entries
                .iter()
                .rev()
                .find(|entry| key(&entry.id) == wanted)
                .map(|entry| entry.id.clone())
        };
        same(&|id| id.to_lowercase(), &wanted)
            .or_else(|| same(&stem, &stem(id)))
            .or_else(|| nearest(id, self.ids()).map(str::to_string))
    }
}

/// The name with the fewest edits, if they are few for its length.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let edits = |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
    let few = |name: &str| (wanted.chars().count().max(name.chars().count()) / 3).max(1);
    names
        .filter(|name| edits(name) <= few(name))
        .min_by_key(|name| edits(name))
}

/// The end of a message about an unknown name.
fn did_you_mean<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(wanted, names).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> toml::Table {
        text.parse().expect("the test's TOML is valid")
    }

    fn message<T>(result: Result<T, EnvError>) -> String {
        result.err().expect("refused").to_string()
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_nearest() {
        let registry = Registry::builtin();
        for (asked, meant) in [
            ("pendulum-v1", "Pendulum-v1"),
            ("Pendulum-v0", "Pendulum-v1"),
            ("Pendulum", "Pendulum-v1"),
            ("Pendelum-v1", "Pendulum-v1"),
            ("MountainCarContinous-v0", "MountainCarContinuous-v0"),
            ("ProbeSign", "ProbeSign-v0"),
        ] {
            assert!(
                message(registry.get(asked)).ends_with(&format!("did you mean `{meant}`?")),
                "{asked}"
            );
        }
        assert_eq!(message(registry.get("Chess-v9")), "unknown environment `Chess-v9`");
    }

    #[test]
    fn a_wrong_option_is_named_with_what_there_is() {
        let registry = Registry::builtin();
        let refused = |id: &str, options: &str| message(registry.make(id, &table(options)));
        assert_eq!(
            refused("Pendulum-v1", "G = 9.81"),
            "Pendulum-v1: option `G`: there is no such option; there is g; did you mean `g`?"
        );
        assert!(refused("Pendulum-v1", "g = 'strong'").starts_with("Pendulum-v1: option `g`: invalid type: string"));
        assert!(refused("ProbeFlat-v0", "k = 1").ends_with("this environment has none"));
        assert!(
            registry.make("Pendulum-v1", &table("g = 10")).is_ok(),
            "a whole number is a number"
        );
    }

    #[test]
    fn the_stack_is_printed_outermost_first() {
        let registry = Registry::builtin();
        let none = toml::Table::new();
        let describe = |id| registry.make_normalised(id, &none).expect("registered").describe();
        assert_eq!(
            describe("Pendulum-v1"),
            "RescaleAction > TimeLimit(200) > Checked > Pendulum-v1"
        );
        assert_eq!(
            describe("ProbeConstant-v0"),
            "RescaleAction > Checked > ProbeConstant-v0"
        );
    }

    #[test]
    fn registering_an_id_again_replaces_it_in_its_place() {
        let mut registry = Registry::builtin();
        let before: Vec<String> = registry.ids().map(str::to_string).collect();
        let other = EnvEntry::new("Pendulum-v1", "mine", classic::Pendulum::default);
        assert_eq!(
            registry.register(other).map(|old| old.family),
            Some("classic".to_string())
        );
        assert_eq!(registry.ids().collect::<Vec<_>>(), before);
        assert_eq!(registry.get("Pendulum-v1").expect("still there").summary, "mine");
    }

    #[test]
    fn a_mujoco_task_is_there_or_says_how_to_get_it() {
        let registry = Registry::builtin();
        for id in MUJOCO_IDS {
            match registry.get(id) {
                Ok(entry) => assert!(cfg!(feature = "mujoco") && entry.family == "mujoco"),
                Err(error) => assert_eq!(
                    error.to_string(),
                    format!(
                        "{id} is not in this build: it needs the Cargo feature `mujoco`; build with `--features mujoco`"
                    )
                ),
            }
        }
        let family = registry.entries().iter().filter(|entry| entry.family == "mujoco");
        assert_eq!(
            family.count(),
            if cfg!(feature = "mujoco") { MUJOCO_IDS.len() } else { 0 }
        );
    }
}
