//! What an update reports: [`UpdateReport`].

use tch::{Kind, Tensor};

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

/// The value of a metric, before somebody reads it.
pub enum MetricValue {
    /// Detached; reduced to one number when it is read, which on a GPU waits for the device.
    Tensor(Tensor),
    /// One number, where a fused update has it at hand.
    Number(f32),
}

impl From<&Tensor> for MetricValue {
    fn from(tensor: &Tensor) -> Self {
        // `detach` takes microseconds; most tensors have no history.
        MetricValue::Tensor(match tensor.requires_grad() {
            true => tensor.detach(),
            false => tensor.shallow_clone(),
        })
    }
}

impl From<f32> for MetricValue {
    fn from(number: f32) -> Self {
        MetricValue::Number(number)
    }
}

impl MetricValue {
    fn shallow_clone(&self) -> Self {
        match self {
            MetricValue::Tensor(tensor) => MetricValue::Tensor(tensor.shallow_clone()),
            MetricValue::Number(number) => MetricValue::Number(*number),
        }
    }

    /// As one number.
    pub(crate) fn read(&self, reduction: Reduction) -> f64 {
        let tensor = match self {
            MetricValue::Number(number) => return f64::from(*number),
            MetricValue::Tensor(tensor) => tensor,
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

/// Named metrics of one update; tensors become numbers only when somebody reads them.
#[derive(Default)]
pub struct UpdateReport {
    entries: Vec<(&'static str, Reduction, MetricValue)>,
    /// `[B]`, value units: the absolute error of each row's value against its target; prioritised replays read it.
    pub td_error: Option<Tensor>,
}

impl UpdateReport {
    /// Adds a value under a metric's name (see [`crate::metrics`]).
    pub fn put(&mut self, name: &'static str, reduction: Reduction, value: impl Into<MetricValue>) {
        self.entries.push((name, reduction, value.into()));
    }

    /// The same tensors once more.
    pub(crate) fn shallow_clone(&self) -> Self {
        let entries = self.entries.iter();
        UpdateReport {
            entries: entries
                .map(|(name, reduction, value)| (*name, *reduction, value.shallow_clone()))
                .collect(),
            td_error: self.td_error.as_ref().map(Tensor::shallow_clone),
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
            .map(|(name, reduction, value)| (*name, value.read(*reduction)))
            .collect()
    }
}
