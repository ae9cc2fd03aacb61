//! The interface of an agent to the trainer: [`Agent`], [`ActMode`], [`Cost`].

use std::ops::Range;

use sac_policy::{Draft, Value};
use serde::Serialize;

use crate::{
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    error::{Error, Result},
    inspect::Inspection,
    noise::Stream,
    report::UpdateReport,
    schedule::GradSteps,
};

/// How actions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActMode {
    /// Sampled from the policy.
    Explore,
    /// The mode of the policy, without randomness.
    Evaluate,
}

/// A learning agent. Object-safe; can move between threads but is not shared by them.
pub trait Agent: Send {
    /// Chooses actions for `obs` `[N, O]` (flattened rows) and writes them, normalised to [-1, 1], to `actions`
    /// `[N, A]`. Draws from `stream` only in [`ActMode::Explore`].
    fn act(&mut self, obs: &[f32], mode: ActMode, stream: &mut Stream, actions: &mut [f32]);

    /// Chooses exploratory actions for the environments `envs`, whose observations are `obs` `[N, O]`. Training calls it at
    /// every step. The default is [`Agent::act`] with [`ActMode::Explore`].
    fn explore(&mut self, _envs: Range<usize>, obs: &[f32], stream: &mut Stream, actions: &mut [f32]) {
        self.act(obs, ActMode::Explore, stream, actions);
    }

    /// Estimates the entropy of the policy at `obs` `[N, O]`, nats, as −log π of an action drawn there, and writes it to
    /// `entropy` `[N]`. Training calls it at every step for soft n-step returns. An agent whose values have no entropy keeps
    /// the default: zeros.
    fn entropy(&mut self, _obs: &[f32], _stream: &mut Stream, entropy: &mut [f64]) {
        entropy.fill(0.0);
    }

    /// Updates running statistics with the reward of a step of environment `env`, which may have ended its episode.
    /// Training calls it once with each transition.
    fn observe_reward(&mut self, _env: usize, _reward: f64, _ended: bool) {}

    /// Updates running statistics with `obs` `[N, O]` (flattened rows). Training calls it once with each observation.
    fn observe(&mut self, _obs: &[f32]) {}

    /// Computes diagnostics of the networks at `obs` `[N, O]` (flattened rows), a sample of those that an evaluation
    /// visited. Does not change the agent.
    fn inspect(&mut self, _obs: &[f32]) -> Inspection {
        Inspection::default()
    }

    /// A description of how updates are computed, for people to read.
    fn update_rule(&self) -> String {
        "its own".to_string()
    }

    /// Whether all matrix products of an update run outside libtorch, so that libtorch needs one thread only.
    fn is_fused(&self) -> bool {
        false
    }

    /// The part of the multiply-adds in [`Agent::costs`] that is computed without autograd.
    /// [`crate::compute::MatmulPrecision`] applies to this part.
    fn fused_multiply_adds(&self) -> i64 {
        0
    }

    /// Makes one update with one batch. Does no I/O, reads no clock, and reads no number back from the device.
    fn update(&mut self, batch: &Batch, stream: &mut Stream) -> UpdateReport;

    /// All state that learning changes, by section.
    ///
    /// # Errors
    /// When a value cannot be serialised.
    fn sections(&self) -> Result<Vec<Section<'static>>>;

    /// Restores the state from all sections of `checkpoint`.
    ///
    /// # Errors
    /// When one is missing or does not fit. The agent must not be used after an error.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// The section that is needed for acting.
    ///
    /// # Errors
    /// When a value cannot be serialised.
    fn policy_section(&self) -> Result<Section<'static>>;

    /// Restores only what is needed for acting.
    ///
    /// # Errors
    /// When it is missing or does not fit. The agent must not be used after an error.
    fn load_policy(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Takes over what was learned, as the beginning of another run: every parameter and statistic, but not the state of
    /// the optimisers and not the number of updates.
    ///
    /// # Errors
    /// As [`Agent::load`].
    fn load_learned(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Adds what [`Agent::act`] computes to a graph: the action for an observation, as the environment of the agent takes
    /// it. With `is_drawn` it is that of [`ActMode::Explore`], with noise of the graph, otherwise that of
    /// [`ActMode::Evaluate`].
    ///
    /// # Errors
    /// [`Error::NotExportable`] of an agent of which a part does not say what it computes; when a parameter is not
    /// finite.
    fn trace(&mut self, _draft: &mut Draft, _obs: Value, _is_drawn: bool) -> Result<Value> {
        Err(Error::NotExportable("this agent".to_string()))
    }

    /// Chooses actions as [`Agent::act`] does in [`ActMode::Explore`], with given random numbers `[N, W]`: those that the
    /// graph of [`Agent::trace`] takes.
    ///
    /// # Errors
    /// [`Error::NotExportable`] of an agent that has no such graph.
    fn act_with_noise(&mut self, _obs: &[f32], _noise: &[f32], _actions: &mut [f32]) -> Result<()> {
        Err(Error::NotExportable("this agent".to_string()))
    }

    /// Updates made so far, if the agent counts them.
    fn grad_steps(&self) -> Option<GradSteps> {
        None
    }

    /// Whether every learned parameter is finite. Waits for the device.
    fn is_finite(&self) -> bool;

    /// Number of learned parameters by part, without target parameters.
    fn parameter_counts(&self) -> Vec<(&'static str, i64)>;

    /// Parameters and multiply-adds of each part. Encoders are parts of their own.
    fn costs(&self) -> Vec<Cost>;
}

/// Parameters and multiply-adds of one part of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Name of the part.
    pub part: &'static str,
    /// Learned parameters, without target parameters.
    pub parameters: i64,
    /// Multiply-adds of one forward pass for one observation and action, without normalisations and activations.
    pub multiply_adds: i64,
}
