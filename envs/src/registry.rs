//! [`Registry`]: from an id and options to an environment.

mod entry;
mod plain;
mod python;
mod stack;
mod suggest;
mod whole;

use std::borrow::Cow;

use self::suggest::nearest;
use crate::python::is_python;
use crate::{Env, EnvError, Serial, Threaded, VecEnv, classic, entity, goal, probe};

pub use entry::EnvEntry;
pub use plain::plain_words;
pub use whole::whole_number;

/// Ids of the tasks behind the Cargo feature `mujoco`.
const MUJOCO_IDS: [&str; 19] = [
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
    "FetchReach-v4",
    "FetchReachDense-v4",
    "FetchPush-v4",
    "FetchPushDense-v4",
    "FetchSlide-v4",
    "FetchSlideDense-v4",
    "FetchPickAndPlace-v4",
    "FetchPickAndPlaceDense-v4",
];

/// The known environments. A program creates a registry and adds its own tasks to it.
#[derive(Clone, Default)]
pub struct Registry {
    entries: Vec<EnvEntry>,
}

impl Registry {
    /// A registry without entries.
    pub fn empty() -> Self {
        Registry::default()
    }

    /// The environments of this crate: the classic control tasks, the MuJoCo tasks if this build has them, the entity
    /// tasks, the tasks with goals, and the probes.
    pub fn builtin() -> Self {
        let mut entries = classic::entries();
        #[cfg(feature = "mujoco")]
        entries.extend(crate::mujoco::entries());
        entries.extend(entity::entries());
        entries.extend(goal::entries());
        entries.extend(probe::entries());
        Registry { entries }
    }

    /// Adds an entry. An existing entry with the same id is replaced, keeping its position, and returned.
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

    /// The entry with this id. That of a Python environment, `py:…`, is made for it unless one is registered, whether
    /// Python knows it or not.
    ///
    /// # Errors
    /// [`EnvError::UnknownId`], with the most similar id: other capitals, another version, or a few other letters;
    /// [`EnvError::NotBuilt`] for an environment that is not part of this build.
    pub fn get(&self, id: &str) -> Result<Cow<'_, EnvEntry>, EnvError> {
        let known = self.entries.iter().find(|entry| entry.id == id);
        if known.is_none() && is_python(id) {
            return Ok(Cow::Owned(python::entry(id)));
        }
        known.map(Cow::Borrowed).ok_or_else(|| {
            let id = id.to_string();
            if cfg!(not(feature = "mujoco")) && MUJOCO_IDS.contains(&id.as_str()) {
                return EnvError::NotBuilt { id, feature: "mujoco" };
            }
            let suggestion = self.suggest(&id);
            EnvError::UnknownId { id, suggestion }
        })
    }

    /// The environment `id` in the task's own units. See [`EnvEntry::make`].
    ///
    /// # Errors
    /// [`EnvError::UnknownId`] or [`EnvError::NotBuilt`], and those of [`EnvEntry::make`].
    pub fn make(&self, id: &str, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.get(id)?.make(options)
    }

    /// The environment `id` as agents use it: `RescaleAction > wrappers > TimeLimit > Checked > task`. Actions are in
    /// [-1, 1], or indices if the task's are discrete or whole numbers. Discrete observations are one-hot vectors, by
    /// [`crate::OneHotObservation`] around the others.
    ///
    /// # Errors
    /// As [`Registry::make`], and [`EnvError::Unsupported`] for actions without bounds, for whole-number actions with
    /// more than 256 values in a coordinate, and for discrete observations with more than 65,536 choices.
    pub fn make_normalised(&self, id: &str, options: &toml::Table) -> Result<Box<dyn Env>, EnvError> {
        self.get(id)?.make_stack(options, true)
    }

    /// `num_envs` environments as of [`Registry::make_normalised`], stepped on `threads` threads including the caller's.
    /// Python environments are stepped on a thread for each of their processes instead, and those of this process on the
    /// caller's, since an interpreter runs one thread at a time.
    ///
    /// # Errors
    /// As [`Registry::make_normalised`], and [`EnvError::Unsupported`] if `num_envs` is 0.
    pub fn make_vec(
        &self,
        id: &str,
        options: &toml::Table,
        num_envs: usize,
        threads: usize,
    ) -> Result<Box<dyn VecEnv>, EnvError> {
        let known = self.entries.iter().find(|entry| entry.id == id);
        let (envs, threads) = match known {
            None if is_python(id) => python::make_normalised(id, options, num_envs)?,
            _ => {
                let make = |_| self.make_normalised(id, options);
                let envs = (0..num_envs).map(make).collect::<Result<Vec<_>, _>>()?;
                let is_of_this_process = known.is_some_and(|entry| entry.family == python::FAMILY);
                (envs, if is_of_this_process { 1 } else { threads })
            }
        };
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
            "Pendulum-v1: option `G`: unknown option; expected one of g, time_limit, wrappers; did you mean `g`?"
        );
        assert!(refused("Pendulum-v1", "g = 'strong'").starts_with("Pendulum-v1: option `g`: expected a number"));
        assert!(refused("ProbeFlat-v0", "k = 1").ends_with("expected one of time_limit, wrappers"));
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
        let is_mujoco = |entry: &EnvEntry| ["mujoco", "fetch"].contains(&entry.family.as_str());
        let registry = Registry::builtin();
        for id in MUJOCO_IDS {
            match registry.get(id) {
                Ok(entry) => assert!(cfg!(feature = "mujoco") && is_mujoco(&entry)),
                Err(error) => assert_eq!(
                    error.to_string(),
                    format!(
                        "{id} is not in this build: it needs the Cargo feature `mujoco`; build with `--features mujoco`"
                    )
                ),
            }
        }
        let all = registry.entries().iter().filter(|entry| is_mujoco(entry));
        assert_eq!(all.count(), if cfg!(feature = "mujoco") { MUJOCO_IDS.len() } else { 0 });
    }
}
