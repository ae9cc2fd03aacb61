//! What can go wrong with an environment.

/// An error of an environment, a wrapper or the registry.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnvError {
    /// No environment of that id is registered.
    #[error("unknown environment `{id}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownId {
        /// What was asked for.
        id: String,
        /// The nearest registered id, if one is near.
        suggestion: Option<String>,
    },
    /// An environment that this build leaves out.
    #[error("{id} is not in this build: it needs the Cargo feature `{feature}`; build with `--features {feature}`")]
    NotBuilt {
        /// What was asked for.
        id: String,
        /// The feature of this crate and of the binary.
        feature: &'static str,
    },
    /// An option that the environment does not have, or a value that it does not take.
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
        /// From the space.
        expected: usize,
        /// From the caller or the environment.
        found: usize,
    },
    /// A number that is not finite, or was never written, came out of the environment.
    #[error("{env}: {what} is {value} at step {step} of episode {episode}")]
    NotFinite {
        /// Environment id.
        env: String,
        /// Which number: `reward`, `observation[2]`.
        what: String,
        /// How it prints: `NaN`, `inf`, or `not written`.
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
    /// The physics engine gave up, or warned that its numbers cannot be trusted any more. The episode is over.
    #[error("{env}: MuJoCo at step {step} of episode {episode}: {message}")]
    Simulation {
        /// Environment id.
        env: String,
        /// Steps since the episode began (0 = reset).
        step: u64,
        /// Episodes since the environment was made, from 1.
        episode: u64,
        /// In the engine's own words.
        message: String,
    },
    /// An action outside the action space.
    #[error("{env}: action {action:?} is outside {space}")]
    InvalidAction {
        /// Environment id.
        env: String,
        /// The action.
        action: Vec<f32>,
        /// The space, printed.
        space: String,
    },
    /// `step` before the first `reset` or after an episode's end.
    #[error("{env}: step was called {when}; call reset first")]
    ResetNeeded {
        /// Environment id.
        env: String,
        /// `before the first reset`, `after the episode ended`, `after a panic` or `after the simulation failed`.
        when: &'static str,
    },
    /// A snapshot that is not one of this environment.
    #[error("{env}: cannot restore this snapshot: {problem}")]
    Snapshot {
        /// Environment id.
        env: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A wrapper or vector environment that does not fit the spaces.
    #[error("{env}: {problem}")]
    Unsupported {
        /// Environment id.
        env: String,
        /// What does not fit.
        problem: String,
    },
    /// Anything that a custom environment reports.
    #[error("{env}: {problem}")]
    Failed {
        /// Environment id.
        env: String,
        /// In its own words.
        problem: String,
    },
}

impl EnvError {
    /// The same error, with `name` in the place of the environment's name. [`EnvError::UnknownId`] and
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
            | EnvError::InvalidAction { env, .. }
            | EnvError::ResetNeeded { env, .. }
            | EnvError::Snapshot { env, .. }
            | EnvError::Unsupported { env, .. }
            | EnvError::Failed { env, .. } => *env = name(env),
        }
        self
    }
}
