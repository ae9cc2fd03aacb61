//! Observation and action space of a task: [`Spaces`].

use std::path::Path;

use sac_envs::{Env, Space};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Observation and action space of a task, in its own units.
#[derive(Clone, Debug, PartialEq)]
pub struct Spaces {
    /// The set of observations.
    pub observation: Space,
    /// The set of actions.
    pub action: Space,
}

impl Spaces {
    /// The spaces of an environment.
    pub fn of(env: &dyn Env) -> Spaces {
        Spaces {
            observation: env.observation_space().clone(),
            action: env.action_space().clone(),
        }
    }

    /// The first spaces in which two tasks differ for a policy, as text, if there are any. Bounds may differ.
    pub(crate) fn differing(&self, other: &Spaces) -> Option<[String; 2]> {
        SpacesRecord::from(self).differing(&other.into())
    }

    /// Refuses spaces of a task `env` that have other lengths or forms than these, those of a run's policy.
    ///
    /// # Errors
    /// [`Error::OtherSpaces`].
    pub(crate) fn check(&self, run: &Path, env: &str, task: &Spaces) -> Result<()> {
        SpacesRecord::from(self).check(run, env, task)
    }
}

/// Spaces in a file: as text, and their lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpacesRecord {
    observation: SpaceRecord,
    action: SpaceRecord,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SpaceRecord {
    space: String,
    len: usize,
}

impl From<&Spaces> for SpacesRecord {
    fn from(spaces: &Spaces) -> Self {
        let record = |space: &Space| SpaceRecord {
            space: space.to_string(),
            len: space.len(),
        };
        SpacesRecord {
            observation: record(&spaces.observation),
            action: record(&spaces.action),
        }
    }
}

impl SpacesRecord {
    /// As [`Spaces::check`].
    pub(crate) fn check(&self, run: &Path, env: &str, task: &Spaces) -> Result<()> {
        match self.differing(&task.into()) {
            None => Ok(()),
            Some([policy, task]) => Err(Error::OtherSpaces {
                run: run.to_path_buf(),
                env: env.to_string(),
                policy,
                task,
            }),
        }
    }

    fn differing(&self, other: &SpacesRecord) -> Option<[String; 2]> {
        let pairs = [
            ("observation", &self.observation, &other.observation),
            ("action", &self.action, &other.action),
        ];
        let mut differing = pairs.into_iter().filter(|(_, one, other)| !one.has_form_of(other));
        differing
            .next()
            .map(|(what, one, other)| [one.described(what), other.described(what)])
    }
}

impl SpaceRecord {
    /// Whether two spaces are the same but for their bounds.
    fn has_form_of(&self, other: &SpaceRecord) -> bool {
        let form = |record: &SpaceRecord| record.space.split(" in ").next().map(str::to_string);
        self.len == other.len && form(self) == form(other)
    }

    fn described(&self, what: &str) -> String {
        let SpaceRecord { space, len } = self;
        let numbers = if *len == 1 { "number" } else { "numbers" };
        format!("{what}s of {len} {numbers} ({space})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spaces_are_named_with_both_lengths() {
        let spaces = |observation, action| Spaces {
            observation: Space::unbounded(observation),
            action: Space::boxed(action, -1.0, 1.0),
        };
        let refusal = |task: &Spaces| {
            let outcome = spaces(3, 2).check(Path::new("runs/x"), "Puck-v0", task);
            outcome.expect_err("other spaces").to_string()
        };
        assert_eq!(
            refusal(&spaces(1, 2)),
            "runs/x: its policy takes observations of 3 numbers (Box[3]), but Puck-v0 has observations of 1 number (Box[1])"
        );
        assert!(refusal(&spaces(3, 4)).contains("actions of 2 numbers"));
        assert!(
            spaces(3, 2)
                .check(Path::new("runs/x"), "Puck-v0", &spaces(3, 2))
                .is_ok()
        );
    }

    #[test]
    fn the_form_of_a_space_counts_and_its_bounds_do_not() {
        let spaces = |observation: Space| Spaces {
            observation,
            action: Space::Discrete { n: 2 },
        };
        let plain = spaces(Space::unbounded(4));
        assert_eq!(plain.differing(&spaces(Space::boxed(4, -1.0, 1.0))), None);
        let image = spaces(Space::unbounded(4).reshaped(vec![2, 2]));
        let [one, other] = plain.differing(&image).expect("another shape");
        assert_eq!(
            (one.as_str(), other.as_str()),
            (
                "observations of 4 numbers (Box[4])",
                "observations of 4 numbers (Box[2, 2])",
            )
        );
        assert!(plain.differing(&spaces(Space::integers(&[0; 4], &[1; 4]))).is_some());
    }
}
