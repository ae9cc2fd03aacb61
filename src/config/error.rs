//! Why settings cannot be used: [`ConfigError`].

use sac_envs::EnvError;

use super::issue::Issues;
use crate::familiar;

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
