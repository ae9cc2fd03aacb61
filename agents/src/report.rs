//! The metrics of an update: [`UpdateReport`].

use tch::{Kind, Tensor};

/// The reduction of a reported tensor to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Mean over all elements.
    Mean,
    /// Standard deviation over all elements, without Bessel's correction.
    Std,
    /// Minimum over all elements.
    Min,
    /// Maximum over all elements.
    Max,
    /// Minus the mean over all elements: an entropy from log-probabilities.
    NegativeMean,
}

/// The value of a metric, not yet read back from the device.
pub enum MetricValue {
    /// A detached tensor, reduced to one number when it is read. On a GPU reading waits for the device.
    Tensor(Tensor),
    /// A number that a fused update has already computed.
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

    /// Reduces the value to one number.
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

/// The named metrics of one update. Tensors are reduced to numbers only when the report is read.
#[derive(Default)]
pub struct UpdateReport {
    entries: Vec<(&'static str, Reduction, MetricValue)>,
    /// `[B]`, value units: the absolute TD error of each row, which a prioritised replay reads.
    pub td_error: Option<Tensor>,
}

impl UpdateReport {
    /// Adds a value under a metric's name (see [`crate::metrics`]).
    pub fn put(&mut self, name: &'static str, reduction: Reduction, value: impl Into<MetricValue>) {
        self.entries.push((name, reduction, value.into()));
    }

    /// A copy that shares the tensors.
    pub(crate) fn shallow_clone(&self) -> Self {
        let entries = self.entries.iter();
        UpdateReport {
            entries: entries
                .map(|(name, reduction, value)| (*name, *reduction, value.shallow_clone()))
                .collect(),
            td_error: self.td_error.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// Adds all entries of `other`, and takes its `td_error` if it has one.
    pub fn extend(&mut self, other: UpdateReport) {
        self.entries.extend(other.entries);
        self.td_error = other.td_error.or(self.td_error.take());
    }

    /// Names and numbers, in the order in which they were added. Waits for the device.
    pub fn read(&self) -> Vec<(&'static str, f64)> {
        let entries = self.entries.iter();
        entries
            .map(|(name, reduction, value)| (*name, value.read(*reduction)))
            .collect()
    }
}
