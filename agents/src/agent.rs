//! What the trainer sees of an agent: [`Agent`], [`ActMode`].

use serde::Serialize;

use crate::{
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    error::Result,
    inspect::Inspection,
    noise::Stream,
    report::UpdateReport,
};

/// Whether actions explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActMode {
    /// Drawn from the policy.
    Explore,
    /// The policy's mode, without noise.
    Evaluate,
}

/// A learner. Object-safe; moves between threads but is not shared.
pub trait Agent: Send {
    /// Chooses actions for `obs` `[N, O]` (flattened rows) and writes them, normalised to [-1, 1], to `actions`
    /// `[N, A]`. Draws from `stream` only in [`ActMode::Explore`].
    fn act(&mut self, obs: &[f32], mode: ActMode, stream: &mut Stream, actions: &mut [f32]);

    /// Receives every observation of training once, `obs` `[N, O]` (flattened rows), for running statistics.
    fn observe(&mut self, _obs: &[f32]) {}

    /// Diagnostics of its networks at `obs` `[N, O]` (flattened rows), which an evaluation visited. Changes nothing.
    fn inspect(&mut self, _obs: &[f32]) -> Inspection {
        Inspection::default()
    }

    /// How it computes its updates, for people.
    fn update_rule(&self) -> String {
        "its own".to_string()
    }

    /// Whether the bulk of an update runs outside libtorch, which then has no use for threads.
    fn is_fused(&self) -> bool {
        false
    }

    /// Of the multiply-adds in [`Agent::costs`], those that are computed without autograd: what
    /// [`crate::compute::MatmulPrecision`] is about.
    fn fused_multiply_adds(&self) -> i64 {
        0
    }

    /// Learns from one batch. Reads no clock, extracts no number, touches no file.
    fn update(&mut self, batch: &Batch, stream: &mut Stream) -> UpdateReport;

    /// Everything that learning changes, by section.
    ///
    /// # Errors
    /// When a value cannot be written down.
    fn sections(&self) -> Result<Vec<Section<'static>>>;

    /// Takes back all sections.
    ///
    /// # Errors
    /// When one is missing or does not fit; the agent must then not be used.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// The one section that acting needs.
    ///
    /// # Errors
    /// When a value cannot be written down.
    fn policy_section(&self) -> Result<Section<'static>>;

    /// Takes back what acting needs, and nothing else.
    ///
    /// # Errors
    /// When it is missing or does not fit; the agent must then not be used.
    fn load_policy(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Whether every learned parameter is a finite number. Waits for the device.
    fn is_finite(&self) -> bool;

    /// Number of learned parameters, targets not counted, by part.
    fn parameter_counts(&self) -> Vec<(&'static str, i64)>;

    /// What every part costs, encoders apart from what reads them.
    fn costs(&self) -> Vec<Cost>;
}

/// What a part of an agent costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Which.
    pub part: &'static str,
    /// Learned numbers, targets not counted.
    pub parameters: i64,
    /// Of one forward pass for one observation and action. Normalisations and activations do not count.
    pub multiply_adds: i64,
}
