//! Why settings cannot be used: [`ConfigError`].

use sac_envs::EnvError;

use super::issue::Issues;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such preset.
    #[error(
        "unknown algorithm `{name}`{} (`sac algos` lists them)",
        suggestion.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
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
    Issues(#[from] Issues),
}
