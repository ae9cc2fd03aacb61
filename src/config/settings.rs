//! The shape of a configuration file: [`RawConfig`].

use sac_agents::{AgentSpec, Every, ReplaySpec, UpdateRatio, nn::MatmulPrecision};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Everything that a file can say. Keys are explained in `docs/configuration.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawConfig {
    /// Name of a preset; the layers above override it.
    pub algo: Option<String>,
    /// Where the agent acts.
    pub env: RawEnv,
    /// How long and how fast it learns.
    pub train: RawTrain,
    /// Who learns.
    pub agent: AgentSpec,
    /// What it remembers.
    pub replay: ReplaySpec,
    /// When and how it is scored.
    pub eval: RawEval,
    /// When it is saved.
    pub checkpoint: RawCheckpoint,
    /// When numbers are written.
    pub log: RawLog,
}

/// `[env]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RawEnv {
    /// A registered id.
    pub id: Option<String>,
    /// Copies stepped together, at least 1.
    pub num_envs: u64,
    /// Threads that step them, at least 1; results do not depend on it.
    pub step_threads: u64,
    /// The task's own options.
    #[serde(flatten)]
    pub options: toml::Table,
}

impl Default for RawEnv {
    fn default() -> Self {
        RawEnv {
            id: None,
            num_envs: 1,
            step_threads: 1,
            options: toml::Table::new(),
        }
    }
}

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawTrain {
    /// Stop at exactly this count, summed over environments.
    pub total_env_steps: u64,
    /// Uniform random actions and no updates until here.
    pub warmup_env_steps: u64,
    /// How long each random action of the warm-up is held in its environment, at least 1.
    pub warmup_hold_env_steps: u64,
    /// Updates per env step after the warm-up; may be fractional.
    pub updates_per_env_step: UpdateRatio,
    /// Whether environments step while the learner updates.
    pub pipelined: bool,
    /// Transitions per update, at least 1.
    pub batch_size: u64,
    /// Root of every random stream.
    pub seed: u64,
    /// `"auto"`, `"cpu"`, `"cuda"` or `"cuda:N"`.
    pub device: String,
    /// Threads of libtorch: `"auto"` or a number.
    pub threads: Setting,
    /// Of networks that learn without autograd.
    pub matmul_precision: MatmulPrecision,
    /// Whether updates on a GPU are recorded once and repeated.
    pub cuda_graphs: bool,
}

impl Default for RawTrain {
    fn default() -> Self {
        RawTrain {
            total_env_steps: 1_000_000,
            warmup_env_steps: 1000,
            warmup_hold_env_steps: 1,
            updates_per_env_step: UpdateRatio(1.0),
            pipelined: false,
            batch_size: 256,
            seed: 1,
            device: "auto".to_string(),
            threads: Setting::Auto,
            matmul_precision: MatmulPrecision::default(),
            cuda_graphs: false,
        }
    }
}

/// `[eval]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawEval {
    /// How often, besides at the end; `"never"` means not even then.
    pub every: Every,
    /// Per evaluation, at least 1.
    pub episodes: u64,
    /// The same episodes at every evaluation.
    pub seed: u64,
    /// Whether the agent looks at its networks, at observations of the episodes.
    pub inspect: bool,
    /// Whether training goes on meanwhile.
    pub beside_training: bool,
}

impl Default for RawEval {
    fn default() -> Self {
        RawEval {
            every: Every::EnvSteps(5000),
            episodes: 10,
            seed: 10_000,
            inspect: true,
            beside_training: false,
        }
    }
}

/// `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawCheckpoint {
    /// How often, besides at the end and when interrupted.
    pub every: Every,
    /// The newest so many stay, at least 1.
    pub keep: u64,
}

impl Default for RawCheckpoint {
    fn default() -> Self {
        RawCheckpoint {
            every: Every::EnvSteps(10_000),
            keep: 2,
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawLog {
    /// How often a row is written, besides at the end.
    pub every: Every,
}

impl Default for RawLog {
    fn default() -> Self {
        RawLog {
            every: Every::EnvSteps(1000),
        }
    }
}

/// `"auto"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// To be chosen when the configuration is resolved.
    Auto,
    /// As given.
    Count(u64),
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Setting::Auto => "auto".serialize(serializer),
            Setting::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "auto" => Ok(Setting::Auto),
            toml::Value::Integer(count) if count > 0 => Ok(Setting::Count(count as u64)),
            _ => Err(serde::de::Error::custom("expected \"auto\" or a whole number above 0")),
        }
    }
}
