//! Everything that can be set: [`Settings`].

use sac_agents::{
    AgentSpec, ReplaySpec,
    schedule::{EnvSteps, GradSteps, UpdateSchedule},
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use serde::{Deserialize, Serialize};

use super::algo::Algo;

/// Everything that can be set, by a program or by a file. Keys are explained in `docs/configuration.md`.
///
/// `Default` is the preset `sac` without an environment. [`Settings::new`] begins from any preset:
///
/// ```
/// use sac::prelude::*;
///
/// let mut settings = Settings::new(Algo::DsacT, "Pendulum-v1");
/// settings.train.total_env_steps = 20_000;
/// settings.agent.gamma = 0.98;
/// settings.agent.body = BodySpec::mlp(&[64, 64]);
/// settings.resolve(&Registry::builtin())?;
/// # Ok::<(), sac::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The preset that these settings began from. Naming another one here changes nothing else.
    pub algo: Algo,
    /// The environment.
    pub env: EnvSettings,
    /// How long and how fast the agent learns.
    pub train: TrainSettings,
    /// The agent; γ is set here and nowhere else.
    pub agent: AgentSpec,
    /// Past transitions.
    pub replay: ReplaySpec,
    /// When and how the policy is scored.
    pub eval: EvalSettings,
    /// When the run is saved.
    pub checkpoint: CheckpointSettings,
    /// When metrics are written.
    pub log: LogSettings,
}

/// `[env]`: the environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvSettings {
    /// A registered id, such as `Pendulum-v1`; has to be given.
    pub id: String,
    /// Copies that are stepped together, at least 1.
    pub num_envs: u64,
    /// Threads that step them, at least 1. Results do not depend on it.
    pub step_threads: u64,
    /// Options of the task. In a [`Config`](super::Config), its defaults are filled in.
    #[serde(flatten)]
    pub options: toml::Table,
}

impl Settings {
    /// The number of updates of a run with these settings.
    pub fn budget(&self) -> GradSteps {
        let updates = UpdateSchedule {
            per_env_step: self.train.updates_per_env_step,
            from_env_steps: EnvSteps(self.train.warmup_env_steps),
            from_grad_steps: GradSteps(0),
        };
        updates.due(EnvSteps(self.train.total_env_steps))
    }
}

impl Default for EnvSettings {
    fn default() -> Self {
        EnvSettings {
            id: String::new(),
            num_envs: 1,
            step_threads: 1,
            options: toml::Table::new(),
        }
    }
}
