//! Views of parameters for one pass: [`Params`]; and passes whose gradient autograd does not compute: [`RecordedPass`].
//!
//! PyTorch has custom autograd functions for the latter; tch has none. Instead the result of such a pass is a leaf of
//! autograd's graph, and the pass is recorded with the parameters that it used. Whoever takes the gradient of a loss asks
//! autograd for that by the leaf, and the pass for the rest ([`super::Trainable::descend`]).

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
    /// Without a history, unless they were not made by a block.
    views: Vec<Tensor>,
    /// Present where gradients are to reach the block.
    history: Option<History>,
    /// Where passes without autograd are recorded, present where somebody is going to read them.
    recorder: Option<Recorder>,
}

/// The same views with a history, made on demand: it takes longer than the sums of some layers, and recorded passes do not
/// need them.
struct History {
    flat: Tensor,
    views: OnceCell<Vec<Tensor>>,
}

impl Params {
    /// Of parameters in the order of their layout.
    pub(super) fn of(views: Vec<Tensor>) -> Self {
        Params {
            views,
            ..Params::default()
        }
    }

    /// Views of the leaf `flat` through which gradients reach it, of the same shapes as these.
    pub(super) fn with_history(&self, flat: &Tensor) -> Self {
        Params {
            views: self.views.iter().map(Tensor::shallow_clone).collect(),
            history: Some(History {
                flat: flat.shallow_clone(),
                views: OnceCell::new(),
            }),
            recorder: None,
        }
    }

    /// The parameter at a place of the layout, without a history.
    pub(super) fn constant(&self, index: usize) -> &Tensor {
        &self.views[index]
    }

    /// Views through which gradients reach the block, if it is to learn.
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

    /// The values of a parameter on the CPU, row-major.
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

    /// The same, with a place to record passes.
    pub(super) fn recording_to(self, recorder: &Recorder) -> Self {
        Params {
            recorder: Some(recorder.clone()),
            ..self
        }
    }

    /// Where passes without autograd are recorded.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// In the order of the layout.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.views().iter()
    }

    /// Others of the same names.
    pub fn map(&self, change: impl Fn(ParamIndex, &Tensor) -> Tensor) -> Params {
        let changed = self
            .iter()
            .enumerate()
            .map(|(index, param)| change(ParamIndex(index), param));
        Params::of(changed.collect())
    }
}

impl std::ops::Index<ParamIndex> for Params {
    type Output = Tensor;

    fn index(&self, index: ParamIndex) -> &Tensor {
        &self.views()[index.0]
    }
}

/// A forward pass that can take a gradient back by itself.
pub trait RecordedPass: Send {
    /// Its result, a leaf of autograd's graph.
    fn output(&self) -> &Tensor;

    /// The gradient `[P]` of a loss by `params`, written to `gradient`, from that by the result, row-major as the result.
    fn backward(&self, params: &Params, of_output: &[f32], gradient: &mut [f32]);
}

/// Passes since the views of a block were taken.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Box<dyn RecordedPass>>>>);

impl Recorder {
    /// Adds a pass.
    pub fn record(&self, pass: Box<dyn RecordedPass>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pass);
    }

    /// All passes, which leaves none.
    pub(super) fn take(&self) -> Vec<Box<dyn RecordedPass>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
