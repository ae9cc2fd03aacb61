//! [`EnvError`]: everything that can go wrong with an environment.

/// An error of an environment, a wrapper or the registry.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnvError {
    /// No environment of that id is registered.
    #[error("unknown environment `{id}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownId {
        /// The requested id.
        id: String,
        /// The most similar registered id, if one is similar.
        suggestion: Option<String>,
    },
    /// An environment that is not part of this build.
    #[error("{id} is not in this build: it needs the Cargo feature `{feature}`; build with `--features {feature}`")]
    NotBuilt {
        /// The requested id.
        id: String,
        /// The Cargo feature that adds it.
        feature: &'static str,
    },
    /// An option that does not exist, or an invalid value of one.
    #[error("{env}: option `{option}`: {problem}")]
    Option {
        /// Environment id.
        env: String,
        /// The option's key.
        option: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A buffer of the wrong length.
    #[error("{env}: {what} has {found} numbers, expected {expected}")]
    WrongLength {
        /// Environment id.
        env: String,
        /// Which buffer: `action`, `observation`.
        what: &'static str,
        /// Length of an element of the space.
        expected: usize,
        /// Length of the buffer.
        found: usize,
    },
    /// The environment returned a number that is not finite, or left one unwritten.
    #[error("{env}: {what} is {value} at step {step} of episode {episode}")]
    NotFinite {
        /// Environment id.
        env: String,
        /// Which number: `reward`, `observation[2]`.
        what: String,
        /// The number as text: `NaN`, `inf`, or `not written`.
        value: String,
        /// Steps since the episode began (0 = reset).
        step: u64,
        /// Episodes since the environment was made, from 1.
        episode: u64,
    },
    /// The environment's own code panicked.
    #[error("{env}: panicked at step {step} of episode {episode}: {message}")]
    Panicked {
        /// Environment id.
        env: String,
        /// Steps since the episode began (0 = reset).
        step: u64,
        /// Episodes since the environment was made, from 1.
        episode: u64,
        /// The panic's message.
        message: String,
    },
    /// The physics engine reported an error, or a warning that the options make an error. The episode is over.
    #[error("{env}: MuJoCo at step {step} of episode {episode}: {message}")]
    Simulation {
        /// Environment id.
        env: String,
        /// Steps since the episode began (0 = reset).
        step: u64,
        /// Episodes since the environment was made, from 1.
        episode: u64,
        /// The engine's message.
        message: String,
    },
    /// A Python environment raised an exception, returned something unusable, or its process ended.
    #[error("{env}: Python at step {step} of episode {episode}: {message}")]
    Python {
        /// Environment id.
        env: String,
        /// Steps since the episode began (0 = reset).
        step: u64,
        /// Episodes since the environment was made, from 1.
        episode: u64,
        /// The exception with its traceback, or what is wrong.
        message: String,
    },
    /// An action outside the action space.
    #[error("{env}: action {action:?} is outside {space}")]
    InvalidAction {
        /// Environment id.
        env: String,
        /// The action.
        action: Vec<f32>,
        /// The space as text.
        space: String,
    },
    /// `step` before the first `reset` or after an episode's end.
    #[error("{env}: step was called {when}; call reset first")]
    ResetNeeded {
        /// Environment id.
        env: String,
        /// `before the first reset`, `after the episode ended`, `after a panic`, `after the simulation failed` or `after it
        /// failed`.
        when: &'static str,
    },
    /// Bytes that are not a snapshot of this environment.
    #[error("{env}: cannot restore this snapshot: {problem}")]
    Snapshot {
        /// Environment id.
        env: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A request that this environment does not support, such as a wrapper that does not fit its spaces.
    #[error("{env}: {problem}")]
    Unsupported {
        /// Environment id.
        env: String,
        /// What is not supported, and why.
        problem: String,
    },
    /// Any other failure, such as those of custom environments.
    #[error("{env}: {problem}")]
    Failed {
        /// Environment id.
        env: String,
        /// What went wrong.
        problem: String,
    },
}

impl EnvError {
    /// The same error with the environment's name replaced by `name` of it. [`EnvError::UnknownId`] and
    /// [`EnvError::NotBuilt`] stay as they are.
    #[must_use]
    pub fn renamed(mut self, name: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            EnvError::UnknownId { .. } | EnvError::NotBuilt { .. } => {}
            EnvError::Option { env, .. }
            | EnvError::WrongLength { env, .. }
            | EnvError::NotFinite { env, .. }
            | EnvError::Panicked { env, .. }
            | EnvError::Simulation { env, .. }
            | EnvError::Python { env, .. }
            | EnvError::InvalidAction { env, .. }
            | EnvError::ResetNeeded { env, .. }
            | EnvError::Snapshot { env, .. }
            | EnvError::Unsupported { env, .. }
            | EnvError::Failed { env, .. } => *env = name(env),
        }
        self
    }
}
