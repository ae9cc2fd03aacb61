//! Parameters as the inputs of a forward pass: [`Params`]; and passes with a hand-written backward pass:
//! [`RecordedPass`].
//!
//! PyTorch has custom autograd functions for such passes, but tch does not. Here the output of such a pass is a leaf of
//! the autograd graph, and the pass is recorded. [`super::Trainable::descend`] lets autograd compute the gradient of
//! the loss with respect to the leaf, and the pass computes the gradient with respect to the parameters from it.

use std::{
    cell::OnceCell,
    sync::{Arc, Mutex, PoisonError},
};

use tch::Tensor;

use super::layout::ParamIndex;
use crate::slices::as_slice;

/// Views of a block's parameters, valid for one forward pass.
#[derive(Default)]
pub struct Params {
    /// Detached views, if they were made by a block.
    views: Vec<Tensor>,
    /// Present if gradients are to reach the block.
    history: Option<History>,
    /// Recorder of passes with a hand-written backward pass, if their gradients will be computed.
    recorder: Option<Recorder>,
    /// Where batch normalisation records the statistics of the batch, which it then uses. `None` for the running ones.
    batch: Option<BatchStatistics>,
}

/// A value that a running statistic moves towards.
pub(crate) struct Observed {
    pub(crate) statistic: ParamIndex,
    pub(crate) value: Tensor,
    /// Weight of the value, in (0, 1].
    pub(crate) weight: f64,
}

/// The statistics of batches since the views of a block were taken.
#[derive(Clone, Default)]
pub(crate) struct BatchStatistics(Arc<Mutex<Vec<Observed>>>);

impl BatchStatistics {
    /// Adds the statistics of a batch.
    pub(crate) fn record(&self, observed: impl IntoIterator<Item = Observed>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(observed);
    }

    /// Removes and returns all statistics.
    pub(super) fn take(&self) -> Vec<Observed> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Views attached to the autograd graph. They are made on demand, because making them takes longer than small layers,
/// and recorded passes do not need them.
struct History {
    flat: Tensor,
    views: OnceCell<Vec<Tensor>>,
}

impl Params {
    /// Parameters in the order of their layout.
    pub(super) fn of(views: Vec<Tensor>) -> Self {
        Params {
            views,
            ..Params::default()
        }
    }

    /// These parameters with gradients that reach the leaf `flat`, of which they are views.
    pub(super) fn with_history(&self, flat: &Tensor) -> Self {
        Params {
            history: Some(History {
                flat: flat.shallow_clone(),
                views: OnceCell::new(),
            }),
            ..self.copied()
        }
    }

    /// The same parameters, for a pass that normalises by the statistics of its batch and forgets them.
    pub(crate) fn by_batch(&self) -> Self {
        self.copied().observing(&BatchStatistics::default())
    }

    /// Further views of the same parameters, detached.
    pub(super) fn copied(&self) -> Self {
        Params::of(self.views.iter().map(Tensor::shallow_clone).collect())
    }

    /// The parameter at `index` in the layout, detached.
    pub(super) fn constant(&self, index: usize) -> &Tensor {
        &self.views[index]
    }

    /// The views, attached to the autograd graph if gradients are to reach the block.
    fn views(&self) -> &[Tensor] {
        let Some(History { flat, views }) = &self.history else {
            return &self.views;
        };
        views.get_or_init(|| {
            let sizes: Vec<i64> = self.views.iter().map(|view| view.numel() as i64).collect();
            tch::with_grad(|| {
                let parts = flat.split_with_sizes(&sizes, 0);
                let shaped = parts.iter().zip(&self.views).map(|(part, view)| part.view_as(view));
                shaped.collect()
            })
        })
    }

    /// The values of a parameter on the CPU, in row-major order.
    pub(crate) fn values(&self, index: ParamIndex) -> &[f32] {
        as_slice(&self.views[index.0])
    }

    /// Whether gradients are to reach a parameter.
    pub(crate) fn learns(&self, index: ParamIndex) -> bool {
        self.history.is_some() || self.views[index.0].requires_grad()
    }

    /// Number of parameters.
    pub(crate) fn count(&self) -> usize {
        self.views.len()
    }

    /// The indices of all parameters.
    pub(crate) fn positions(&self) -> impl Iterator<Item = ParamIndex> {
        (0..self.count()).map(ParamIndex)
    }

    /// These parameters with a recorder of passes.
    pub(super) fn recording_to(self, recorder: &Recorder) -> Self {
        Params {
            recorder: Some(recorder.clone()),
            ..self
        }
    }

    /// These parameters with a record of batch statistics, which batch normalisation then uses.
    pub(super) fn observing(self, batch: &BatchStatistics) -> Self {
        Params {
            batch: Some(batch.clone()),
            ..self
        }
    }

    /// Where batch normalisation records the statistics of the batch; `None` if it uses the running ones.
    pub(crate) fn batch(&self) -> Option<&BatchStatistics> {
        self.batch.as_ref()
    }

    /// A running statistic.
    pub(crate) fn statistic(&self, index: ParamIndex) -> &Tensor {
        &self.views[index.0]
    }

    /// The recorder of passes with a hand-written backward pass.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// The parameters in the order of the layout.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.views().iter()
    }

    /// Applies `change` to every parameter.
    pub fn map(&self, change: impl Fn(ParamIndex, &Tensor) -> Tensor) -> Params {
        let changed = self
            .iter()
            .enumerate()
            .map(|(index, param)| change(ParamIndex(index), param));
        Params {
            batch: self.batch.clone(),
            ..Params::of(changed.collect())
        }
    }
}

impl std::ops::Index<ParamIndex> for Params {
    type Output = Tensor;

    fn index(&self, index: ParamIndex) -> &Tensor {
        &self.views()[index.0]
    }
}

/// A forward pass with a hand-written backward pass.
pub trait RecordedPass: Send {
    /// The output, a leaf of the autograd graph.
    fn output(&self) -> &Tensor;

    /// Writes the gradient `[P]` of a loss with respect to `params` to `gradient`, given the gradient `of_output` with
    /// respect to the output, in row-major order.
    fn backward(&self, params: &Params, of_output: &[f32], gradient: &mut [f32]);
}

/// The passes since the views of a block were taken.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Box<dyn RecordedPass>>>>);

impl Recorder {
    /// Adds a pass.
    pub fn record(&self, pass: Box<dyn RecordedPass>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
    }

    /// Removes and returns all passes.
    pub(super) fn take(&self) -> Vec<Box<dyn RecordedPass>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
