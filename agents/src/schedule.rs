//! Counters with their unit in the type, and schedules: [`EnvSteps`], [`GradSteps`], [`Every`], [`UpdateRatio`].

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
///
/// The number of updates due is a function of the number of env steps alone, so fractions carry over and a resumed run
/// needs no extra state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateRatio(pub f64);

impl UpdateRatio {
    /// Total number of updates due after `env_steps`. The first `warmup` steps make no updates due.
    pub fn due(self, env_steps: EnvSteps, warmup: EnvSteps) -> GradSteps {
        // The small constant compensates the rounding of ratios like 0.1, which have no exact binary representation.
        GradSteps((self.0 * env_steps.0.saturating_sub(warmup.0) as f64 + 1e-9).floor() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fractional_ratio_carries_its_remainder() {
        let ratio = UpdateRatio(0.3);
        let mut grad_steps = 0;
        let mut bursts = Vec::new();
        for env_steps in 1..=10 {
            let due = ratio.due(EnvSteps(env_steps), EnvSteps(0)).0;
            bursts.push(due - grad_steps);
            grad_steps = due;
        }
        assert_eq!(bursts, [0, 0, 0, 1, 0, 0, 1, 0, 0, 1]);
        for tenths in 1..=40 {
            let ratio = UpdateRatio(f64::from(tenths) / 10.0);
            assert_eq!(
                ratio.due(EnvSteps(1000), EnvSteps(0)),
                GradSteps(100 * tenths as u64),
                "ratio {ratio:?}"
            );
        }
    }

    #[test]
    fn no_updates_are_due_before_the_end_of_the_warm_up() {
        let ratio = UpdateRatio(2.0);
        assert_eq!(ratio.due(EnvSteps(100), EnvSteps(100)), GradSteps(0));
        assert_eq!(ratio.due(EnvSteps(101), EnvSteps(100)), GradSteps(2));
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
