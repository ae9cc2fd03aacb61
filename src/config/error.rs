//! Why settings cannot be used: [`ConfigError`].

use sac_cli::familiar;
use sac_envs::EnvError;

use super::issue::Issues;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such preset.
    #[error(
        "unknown algorithm `{name}`{} (`sac algos` lists them)",
        instead(name, *suggestion)
    )]
    UnknownAlgo {
        /// The name given.
        name: String,
        /// The nearest known one.
        suggestion: Option<&'static str>,
    },
    /// The environment does not exist or cannot be made.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// Values that are not valid.
    #[error(transparent)]
    Issues(Issues),
}

impl From<Issues> for ConfigError {
    /// Words of other toolkits are translated.
    fn from(mut issues: Issues) -> Self {
        for issue in &mut issues.0 {
            if issue.key == "env.id" && issue.problem.starts_with("unknown environment") {
                let id = issue.value.trim_matches('"');
                if let Some(answer) = familiar::env(id) {
                    issue.problem = format!("unknown environment `{id}`; {answer}");
                }
            }
            let is_unknown = ["unknown key", "unknown option"]
                .iter()
                .any(|word| issue.problem.starts_with(word));
            if let (true, Some(key)) = (is_unknown, familiar::key(&issue.key)) {
                issue.problem = format!("unknown key; here it is {key}");
            }
        }
        ConfigError::Issues(issues)
    }
}

/// What to use instead of an algorithm that does not exist.
fn instead(name: &str, nearest: Option<&str>) -> String {
    match (familiar::algo(name), nearest) {
        (Some(answer), _) => format!(": {answer}"),
        (None, Some(near)) => format!("; did you mean `{near}`?"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Algo, Settings};

    #[test]
    fn every_key_that_is_answered_exists() {
        let table = |algo| toml::Table::try_from(Settings::new(algo, "Pendulum-v1")).expect("TOML");
        let tables = [table(Algo::Sac), table(Algo::Tqc)];
        for (words, answer) in familiar::KEYS {
            let key = answer.split(',').next().expect("a key");
            let there = |table: &toml::Table| {
                let mut parts = key.split('.');
                let first = parts.next().and_then(|part| table.get(part));
                parts
                    .try_fold(first?, |value, part| value.get(part))
                    .is_some()
                    .then_some(())
            };
            // Keys that a configuration has only where they are set, and one that stands for several.
            let optional = [
                "env.wrappers",
                "env.time_limit",
                "agent.policy.optimizer.anneal",
                "agent.learning_rate",
                "agent.exploration",
                "replay.hindsight.strategy",
                "replay.hindsight.k",
            ];
            assert!(
                optional.contains(&key) || tables.iter().any(|table| there(table).is_some()),
                "{words:?}: {key}"
            );
        }
    }

    #[test]
    fn no_algorithm_or_environment_that_is_here_is_answered_as_one_that_is_not() {
        let ours = Algo::ALL.iter().find(|one| familiar::algo(one.name()).is_some());
        assert_eq!(ours, None, "an algorithm that is here");
        let registry = sac_envs::Registry::builtin();
        let ours = registry.ids().find(|id| familiar::env(id).is_some());
        assert_eq!(ours, None, "an environment that is here");
    }
}
