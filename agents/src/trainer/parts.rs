//! What a trainer is made of and asked for: [`Plan`], [`Parts`], [`SaveTo`], [`Ending`].

use std::path::PathBuf;

use sac_envs::VecEnv;

use crate::{
    agent::Agent,
    checkpoint::CheckpointStore,
    log::Logger,
    replay::Replay,
    schedule::{EnvSteps, Every, UpdateRatio},
};

/// What a run is to do, all numbers resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Root of every random stream.
    pub seed: u64,
    /// Stop at exactly this count.
    pub total_env_steps: EnvSteps,
    /// Uniform random actions, and no updates, until here.
    pub warmup_env_steps: EnvSteps,
    /// Each random action of the warm-up is held this long in its environment, at least 1.
    pub warmup_hold_env_steps: u64,
    /// Updates per env step after the warm-up.
    pub updates_per_env_step: UpdateRatio,
    /// Whether environments step while the learner updates: see [`super`].
    pub pipelined: bool,
    /// When to evaluate, besides at the end.
    pub eval_every: Every,
    /// Episodes per evaluation.
    pub eval_episodes: usize,
    /// The episodes are the same at every evaluation.
    pub eval_seed: u64,
    /// Whether the agent looks at its networks at every evaluation.
    pub inspect: bool,
    /// When to save, besides at the end.
    pub checkpoint_every: Every,
    /// When to write a row.
    pub log_every: Every,
}

/// Where a run saves itself. A run without folders (`None`) saves nothing.
pub struct SaveTo {
    /// Checkpoints for resuming.
    pub checkpoints: CheckpointStore,
    /// The best evaluated policy.
    pub best: PathBuf,
}

/// Everything a trainer is made of.
pub struct Parts {
    /// What to do.
    pub plan: Plan,
    /// Who learns.
    pub agent: Box<dyn Agent>,
    /// Where it acts; actions are normalised.
    pub envs: Box<dyn VecEnv>,
    /// Where it is scored; not shared with training.
    pub eval_envs: Box<dyn VecEnv>,
    /// Where there is one, made as `agent` was, evaluations score it beside training, as a copy; otherwise training waits.
    pub eval_agent: Option<Box<dyn Agent>>,
    /// What it remembers.
    pub replay: Replay,
    /// Where numbers go.
    pub logger: Logger,
    /// Where it is saved.
    pub save_to: Option<SaveTo>,
}

/// How a call to [`Trainer::run`](super::Trainer::run) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The count was reached.
    Finished,
    /// Somebody asked it to stop; a checkpoint was written.
    Interrupted,
}
