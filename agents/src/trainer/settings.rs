//! What a file can say about training: `[train]`, `[eval]`, `[checkpoint]` and `[log]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    compute::MatmulPrecision,
    schedule::{Every, UpdateRatio},
};

/// `[train]`: how long and how fast the agent learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Env steps at which training stops, summed over all environments.
    pub total_env_steps: u64,
    /// Env steps with uniform random actions and without updates at the start.
    pub warmup_env_steps: u64,
    /// Env steps for which each random action of the warm-up is held in its environment, at least 1.
    pub warmup_hold_env_steps: u64,
    /// Updates per env step after the warm-up; may be fractional.
    pub updates_per_env_step: UpdateRatio,
    /// Whether environments step while the learner updates: see [`crate::trainer`].
    pub pipelined: bool,
    /// Transitions per update, at least 1.
    pub batch_size: u64,
    /// Root of every random stream.
    pub seed: u64,
    /// Where networks and batches live.
    pub device: DeviceChoice,
    /// Threads of an update. Results do not depend on it where networks are fused.
    pub threads: Threads,
    /// Precision of the matrix products of fused networks, on the CPU. Whether this machine has it is checked when
    /// training starts: a configuration can be read, and its policies act, on any machine.
    pub matmul_precision: MatmulPrecision,
    /// Whether updates on a GPU are recorded once and replayed as CUDA graphs. Whether this binary and this machine can
    /// is checked when training starts.
    pub cuda_graphs: bool,
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            total_env_steps: 1_000_000,
            warmup_env_steps: 1000,
            warmup_hold_env_steps: 1,
            updates_per_env_step: UpdateRatio(1.0),
            pipelined: false,
            batch_size: 256,
            seed: 1,
            device: DeviceChoice::Auto,
            threads: Threads::Auto,
            matmul_precision: MatmulPrecision::default(),
            cuda_graphs: false,
        }
    }
}

/// `[eval]`: when and how the policy is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSettings {
    /// How often, besides at the end; [`Every::Never`] means not even then.
    pub every: Every,
    /// Episodes per evaluation, at least 1.
    pub episodes: u64,
    /// Seed of the episodes, which are the same at every evaluation.
    pub seed: u64,
    /// Whether every evaluation also logs measures of the networks, at observations of its episodes.
    pub inspect: bool,
    /// Whether a copy of the agent is scored on a thread of its own while training goes on.
    pub beside_training: bool,
    /// Mean return of an evaluation at which training ends early, as finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<f64>,
    /// Options of the evaluation environments that differ from those of training. The trainer does not read them: it is
    /// given its environments.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub env: toml::Table,
}

impl Default for EvalSettings {
    fn default() -> Self {
        EvalSettings {
            every: Every::EnvSteps(5000),
            episodes: 10,
            seed: 10_000,
            inspect: true,
            beside_training: false,
            stop_at: None,
            env: toml::Table::new(),
        }
    }
}

/// `[checkpoint]`: when the whole state of a run is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// How often, besides at the end and when interrupted.
    pub every: Every,
    /// Number of recent checkpoints to keep, at least 1.
    pub keep: u64,
    /// Which of them hold the replay.
    pub replay: SavedReplay,
}

/// Which checkpoints hold the replay, by far the largest part of most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavedReplay {
    /// All: a run can go on from each exactly. They share the rows that they have in common.
    #[default]
    All,
    /// The newest.
    Last,
    /// None. A resumed run fills its replay anew, for as long as a warm-up takes, with actions of its policy and without
    /// updates; it is not the run that it would have been without the stop.
    None,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        CheckpointSettings {
            every: Every::EnvSteps(10_000),
            keep: 2,
            replay: SavedReplay::default(),
        }
    }
}

/// `[log]`: when metrics are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How often a row is written, besides at the end.
    pub every: Every,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            every: Every::EnvSteps(1000),
        }
    }
}

/// Where networks and batches live: `"auto"`, `"cpu"`, `"cuda"` or `"cuda:N"` in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that libtorch sees, or the CPU where it sees none.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl Serialize for DeviceChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DeviceChoice::Auto => "auto".serialize(serializer),
            DeviceChoice::Cpu => "cpu".serialize(serializer),
            DeviceChoice::Cuda(index) => format!("cuda:{index}").serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DeviceChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let index = |word: &str| word.strip_prefix("cuda:")?.parse().ok();
        match word.as_str() {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            other => index(other)
                .map(DeviceChoice::Cuda)
                .ok_or_else(|| serde::de::Error::custom("expected \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"")),
        }
    }
}

/// Threads of an update: `"auto"` or a number in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as suit this machine.
    Auto,
    /// Exactly this many, at least 1.
    Count(u64),
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Threads::Auto => "auto".serialize(serializer),
            Threads::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "auto" => Ok(Threads::Auto),
            toml::Value::Integer(count) if count > 0 => Ok(Threads::Count(count as u64)),
            _ => Err(serde::de::Error::custom("expected \"auto\" or a whole number above 0")),
        }
    }
}
