//! What the trainer sees of an agent: [`Agent`], [`ActMode`], [`UpdateReport`].

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::{
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    error::Result,
    inspect::Inspection,
    noise::Stream,
    soft_actor_critic::SoftActorCritic,
};

#[cfg(doc)]
use crate::Stack;

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
    /// `[N, A]`. `noise` is read in [`ActMode::Explore`] only.
    fn act(&mut self, obs: &[f32], mode: ActMode, noise: &mut Stream, actions: &mut [f32]);

    /// Is shown `obs` `[N, O]` (flattened rows) once, as training meets them; for statistics of observations.
    fn observe(&mut self, _obs: &[f32]) {}

    /// Looks at its own networks at `obs` `[N, O]` (flattened rows), which an evaluation visited. Changes nothing.
    fn inspect(&mut self, _obs: &[f32]) -> Inspection {
        Inspection::default()
    }

    /// Whether nothing that it does takes long in libtorch, so that threads are of no use there.
    fn goes_by_hand(&self) -> bool {
        false
    }

    /// Of the multiply-adds in [`Agent::costs`], those of networks that learn without autograd: what
    /// [`crate::nn::MatmulPrecision`] is about.
    fn multiply_adds_by_hand(&self) -> i64 {
        0
    }

    /// Itself, if it is one of those whose updates can be made together with those of others: [`Stack`].
    fn as_soft_actor_critic(&mut self) -> Option<&mut SoftActorCritic> {
        None
    }

    /// Learns from one batch. Reads no clock, extracts no number, touches no file.
    fn update(&mut self, batch: &Batch, noise: &mut Stream) -> UpdateReport;

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
    /// Products that are summed for one observation and action, forward. Normalisations and activations do not count.
    pub multiply_adds: i64,
}

/// How a reported tensor becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Over all elements.
    Mean,
    /// Standard deviation over all elements, without Bessel's correction.
    Std,
    /// Over all elements.
    Min,
    /// Over all elements.
    Max,
    /// Minus the mean: entropies from log-probabilities.
    NegativeMean,
}

/// What an update reports under a name.
pub enum Found {
    /// Becomes one number when somebody reads it.
    Tensor(Tensor),
    /// One number of each replicate, of an update by hand: a tensor of a number takes longer to make than the number.
    Numbers(Vec<f32>),
}

impl From<&Tensor> for Found {
    fn from(tensor: &Tensor) -> Self {
        // To ask libtorch for what is there already takes microseconds.
        Found::Tensor(match tensor.requires_grad() {
            true => tensor.detach(),
            false => tensor.shallow_clone(),
        })
    }
}

impl From<Vec<f32>> for Found {
    fn from(numbers: Vec<f32>) -> Self {
        Found::Numbers(numbers)
    }
}

impl Found {
    fn shallow_clone(&self) -> Self {
        match self {
            Found::Tensor(tensor) => Found::Tensor(tensor.shallow_clone()),
            Found::Numbers(numbers) => Found::Numbers(numbers.clone()),
        }
    }

    /// As one number: of one of several replicates, its index and how many there are, or of all.
    pub(crate) fn read(&self, reduction: Reduction, of_replicate: Option<(i64, i64)>) -> f64 {
        let own;
        let tensor = match (self, of_replicate) {
            (Found::Numbers(numbers), Some((index, _))) => return f64::from(numbers[index as usize]),
            (Found::Numbers(numbers), None) => {
                return numbers.iter().map(|number| f64::from(*number)).sum::<f64>() / numbers.len() as f64;
            }
            (Found::Tensor(tensor), None) => tensor,
            (Found::Tensor(tensor), Some((index, count))) => {
                own = part(tensor, index, count);
                &own
            }
        };
        let value = match reduction {
            Reduction::Mean => tensor.mean(Kind::Float),
            Reduction::NegativeMean => -tensor.mean(Kind::Float),
            Reduction::Std => tensor.std(false),
            Reduction::Min => tensor.min(),
            Reduction::Max => tensor.max(),
        };
        value.double_value(&[])
    }
}

/// Named, detached tensors and numbers of one update; what is not a number becomes one only when somebody reads it.
#[derive(Default)]
pub struct UpdateReport {
    entries: Vec<(&'static str, Reduction, Found)>,
    /// `[B]`, value units: how far each row's value was from its target, sign dropped; replays that rank rows read it.
    pub td_error: Option<Tensor>,
    /// Tensors are of several replicates, and this is the report of one: its index, and how many there are.
    of_replicate: Option<(i64, i64)>,
}

impl UpdateReport {
    /// Adds a tensor, or numbers, under a metric's name (see [`crate::metrics`]).
    pub fn put(&mut self, name: &'static str, reduction: Reduction, found: impl Into<Found>) {
        self.entries.push((name, reduction, found.into()));
    }

    /// The same tensors once more.
    pub(crate) fn shallow_clone(&self) -> Self {
        let entries = self.entries.iter();
        UpdateReport {
            entries: entries
                .map(|(name, reduction, found)| (*name, *reduction, found.shallow_clone()))
                .collect(),
            td_error: self.td_error.as_ref().map(Tensor::shallow_clone),
            of_replicate: self.of_replicate,
        }
    }

    /// What concerns one of `count` replicates in the report of an update of all: its part of the last dimension of every
    /// tensor, and what is no such tensor.
    pub(crate) fn of_replicate(&self, index: i64, count: i64) -> Self {
        UpdateReport {
            td_error: self.td_error.as_ref().map(|errors| part(errors, index, count)),
            of_replicate: Some((index, count)),
            ..self.shallow_clone()
        }
    }

    /// Adds everything of another report.
    pub fn extend(&mut self, other: UpdateReport) {
        self.entries.extend(other.entries);
        self.td_error = other.td_error.or(self.td_error.take());
    }

    /// The numbers, in the order they were put. Waits for the device.
    pub fn read(&self) -> Vec<(&'static str, f64)> {
        let entries = self.entries.iter();
        entries
            .map(|(name, reduction, found)| (*name, found.read(*reduction, self.of_replicate)))
            .collect()
    }
}

/// One of `count` equal parts of the last dimension, or of the one before a last that has one number for each row, in one
/// piece; everything of a scalar.
fn part(tensor: &Tensor, index: i64, count: i64) -> Tensor {
    let of_rows = match tensor.size().as_slice() {
        [] => return tensor.shallow_clone(),
        [_, .., 1] => -2,
        _ => -1,
    };
    tensor.chunk(count, of_rows).swap_remove(index as usize).contiguous()
}
