//! What a trainer is made of: [`Parts`], [`SaveTo`]; and how a run ends: [`Ending`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sac_envs::VecEnv;

use super::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings};
use crate::{agent::Agent, checkpoint::CheckpointStore, log::Logger, replay::Replay};

/// Everything a trainer is made of.
pub struct Parts {
    /// How long and how fast the agent learns.
    pub train: TrainSettings,
    /// When and how it is scored.
    pub eval: EvalSettings,
    /// When it is saved.
    pub checkpoint: CheckpointSettings,
    /// When metrics are written.
    pub log: LogSettings,
    /// The learner.
    pub agent: Box<dyn Agent>,
    /// Environments to learn in; actions are normalised.
    pub envs: Box<dyn VecEnv>,
    /// Environments to score the policy in; not shared with training.
    pub eval_envs: Box<dyn VecEnv>,
    /// An agent built like `agent`, to be scored as a copy beside training. With `None`, training waits for
    /// evaluations.
    pub eval_agent: Option<Box<dyn Agent>>,
    /// Past transitions.
    pub replay: Replay,
    /// Receives metrics.
    pub logger: Logger,
    /// Where the run is saved; with `None` nothing is.
    pub save_to: Option<SaveTo>,
}

/// Where a run is saved.
pub struct SaveTo {
    /// Checkpoints to resume from.
    pub checkpoints: CheckpointStore,
    /// Folder of the policy with the best evaluation.
    pub best: PathBuf,
    /// Settings to find again in a checkpoint, in its section `run`; the trainer does not read them.
    pub settings: BTreeMap<String, String>,
}

impl SaveTo {
    /// The folder that takes the policy in `best` while the evaluation at the end of a run, which was not due, is better. A
    /// run that is made longer has it again.
    pub fn best_before_end(best: &Path) -> PathBuf {
        best.with_file_name(".best.before_end")
    }
}

/// How a call to [`Trainer::run`](crate::Trainer::run) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All env steps were taken, or an evaluation has reached `eval.stop_at`.
    Finished,
    /// It was asked to stop; a checkpoint was written.
    Interrupted,
}
