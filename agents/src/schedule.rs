//! Counters with their unit in the type, and schedules: [`EnvSteps`], [`GradSteps`], [`Every`], [`UpdateSchedule`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl std::ops::AddAssign<u64> for $name {
            fn add_assign(&mut self, more: u64) {
                self.0 += more;
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter! {
    /// Environment steps, summed over all environments.
    EnvSteps
}
counter! {
    /// Gradient steps: updates of the agent.
    GradSteps
}

/// The period of a recurring event: `{ env_steps = 5000 }` or `"never"` in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Never.
    Never,
    /// Whenever the counter reaches a multiple of this number, at least 1.
    EnvSteps(u64),
}

impl Every {
    /// Whether the event is due at exactly the count `at`.
    pub fn due(self, at: EnvSteps) -> bool {
        match self {
            Every::Never => false,
            Every::EnvSteps(period) => at.0 > 0 && at.0.is_multiple_of(period),
        }
    }

    /// The next count after `from` at which the event is due.
    pub fn next_after(self, from: EnvSteps) -> Option<EnvSteps> {
        match self {
            Every::Never => None,
            Every::EnvSteps(period) => Some(EnvSteps((from.0 / period + 1) * period)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EveryTable {
    env_steps: u64,
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Every::Never => "never".serialize(serializer),
            Every::EnvSteps(env_steps) => EveryTable { env_steps: *env_steps }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "expected \"never\" or { env_steps = N } with N at least 1";
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "never" => Ok(Every::Never),
            toml::Value::Table(table) => match EveryTable::deserialize(table) {
                Ok(EveryTable { env_steps }) if env_steps > 0 => Ok(Every::EnvSteps(env_steps)),
                _ => Err(serde::de::Error::custom(EXPECTED)),
            },
            _ => Err(serde::de::Error::custom(EXPECTED)),
        }
    }
}

/// Updates per environment step; may be fractional.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateRatio(pub f64);

/// When updates are due: so many for each env step after a count at which so many had been made.
///
/// Their number is a function of the number of env steps alone, so that fractions carry over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSchedule {
    /// Updates per env step.
    pub per_env_step: UpdateRatio,
    /// No updates are due before; the end of the warm-up in a run that was never changed.
    pub from_env_steps: EnvSteps,
    /// Updates made by then.
    pub from_grad_steps: GradSteps,
}

impl UpdateSchedule {
    /// Total number of updates due at `at`.
    pub fn due(&self, at: EnvSteps) -> GradSteps {
        let env_steps = at.0.saturating_sub(self.from_env_steps.0);
        // The small constant compensates the rounding of ratios like 0.1, which have no exact binary representation.
        let updates = (self.per_env_step.0 * env_steps as f64 + 1e-9).floor() as u64;
        GradSteps(self.from_grad_steps.0.saturating_add(updates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(warmup: u64, per_env_step: f64) -> UpdateSchedule {
        UpdateSchedule {
            per_env_step: UpdateRatio(per_env_step),
            from_env_steps: EnvSteps(warmup),
            from_grad_steps: GradSteps(0),
        }
    }

    #[test]
    fn a_fractional_ratio_carries_its_remainder() {
        let schedule = after(0, 0.3);
        let mut grad_steps = 0;
        let mut bursts = Vec::new();
        for env_steps in 1..=10 {
            let due = schedule.due(EnvSteps(env_steps)).0;
            bursts.push(due - grad_steps);
            grad_steps = due;
        }
        assert_eq!(bursts, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
        for tenths in 1..=40 {
            let schedule = after(0, f64::from(tenths) / 10.0);
            assert_eq!(
                schedule.due(EnvSteps(1000)),
                GradSteps(100 * tenths as u64),
                "{schedule:?}"
            );
        }
    }

    #[test]
    fn no_updates_are_due_before_the_end_of_the_warm_up() {
        let schedule = after(100, 2.0);
        assert_eq!(schedule.due(EnvSteps(100)), GradSteps(0));
        assert_eq!(schedule.due(EnvSteps(101)), GradSteps(2));
    }

    #[test]
    fn next_due_step_is_strictly_later() {
        let every = Every::EnvSteps(500);
        assert_eq!(every.next_after(EnvSteps(0)), Some(EnvSteps(500)));
        assert_eq!(every.next_after(EnvSteps(499)), Some(EnvSteps(500)));
        assert_eq!(every.next_after(EnvSteps(500)), Some(EnvSteps(1000)));
        assert!(every.due(EnvSteps(1000)) && !every.due(EnvSteps(0)) && !Every::Never.due(EnvSteps(1)));
    }
}
