//! A parameter block with its optimiser: [`Trainable`].

use tch::{Device, Kind, Tensor};

use super::{
    ParamBlock, ParamLayout, Params,
    adam::{Adam, AdamSpec},
    params::{BatchStatistics, Recorder},
};
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    noise::Stream,
    schedule::GradSteps,
    slices::{as_slice, as_slice_mut},
};

/// A parameter block with its optimiser.
pub struct Trainable {
    /// The parameters.
    pub params: ParamBlock,
    adam: Adam,
    /// Passes with a hand-written backward pass since views were taken.
    recorder: Recorder,
    /// Statistics of the batches of passes since views were taken.
    batch: BatchStatistics,
    /// Buffer for a gradient, reused by all steps.
    gradient: Vec<f32>,
}

impl Trainable {
    /// Draws initial parameters from `stream`. The optimiser's moments are zero.
    pub fn new(layout: ParamLayout, spec: AdamSpec, stream: &mut Stream, compute: &Compute) -> Self {
        let params = ParamBlock::new(layout, stream, compute);
        Trainable {
            adam: Adam::new(spec, &params, compute),
            params,
            recorder: Recorder::default(),
            batch: BatchStatistics::default(),
            gradient: Vec::new(),
        }
    }

    /// Bytes that a block of this layout takes: parameters, two moments of the optimiser, and a gradient.
    pub fn bytes(layout: &ParamLayout) -> u64 {
        4 * layout.bytes()
    }

    /// Views of the parameters for a forward pass whose loss is given to [`Trainable::descend`]. Batch normalisation
    /// uses the statistics of the pass's batch, and the step moves the running ones towards them.
    pub fn views(&self) -> Params {
        drop(self.recorder.take());
        drop(self.batch.take());
        self.params.views().recording_to(&self.recorder).observing(&self.batch)
    }

    /// The parameters for a forward pass whose gradient is computed by hand and given to [`Trainable::step_with`]. Batch
    /// normalisation is as with [`Trainable::views`].
    pub(crate) fn constants(&self) -> Params {
        drop(self.batch.take());
        self.params.frozen().copied().observing(&self.batch)
    }

    /// Makes one optimiser step on the scalar `loss`. Only this block changes.
    pub fn descend(&mut self, loss: &Tensor) {
        let gradient = self.gradient(loss);
        self.step(&gradient);
        self.params.observe(&self.batch.take());
    }

    /// The gradient `[P]` of `loss` with respect to the block.
    fn gradient(&self, loss: &Tensor) -> Tensor {
        let passes = self.recorder.take();
        if passes.is_empty() {
            return Tensor::run_backward(&[loss], &[self.params.flat()], false, false).remove(0);
        }
        let leaves: Vec<&Tensor> = passes.iter().map(|pass| pass.output()).collect();
        let of_leaves = Tensor::run_backward(&[loss], &leaves, false, false);
        let gradients = passes.iter().zip(&of_leaves).map(|(pass, of_output)| {
            let mut gradient = Tensor::empty(self.params.flat().size(), (Kind::Float, Device::Cpu));
            let of_output = of_output.contiguous();
            pass.backward(self.params.frozen(), as_slice(&of_output), as_slice_mut(&mut gradient));
            gradient
        });
        gradients
            .reduce(|sum, gradient| sum + gradient)
            .expect("there is a pass: checked above")
    }

    /// Sets the learning rate to its value after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.adam.anneal(at);
    }

    /// Mixes freshly drawn initial values into the parameters, with weight `share`, and forgets the optimiser's moments.
    pub fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        self.params.reset(share, stream, compute);
        self.adam.reset();
    }

    /// Makes one optimiser step with `gradient` `[P]`.
    pub fn step(&mut self, gradient: &Tensor) {
        self.adam.step(&mut self.params, gradient);
        self.params.constrain();
    }

    /// Makes one optimiser step with a gradient `[P]` on the host.
    pub(crate) fn step_along(&mut self, gradient: &[f32]) {
        self.adam.step_on_host(&mut self.params, gradient);
        self.params.constrain();
    }

    /// Makes one optimiser step with the gradient `[P]` that `compute` writes. Returns the result of `compute`.
    pub(crate) fn step_with<T>(&mut self, compute: impl FnOnce(&mut [f32]) -> T) -> T {
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.resize(as_slice(self.params.flat()).len(), 0.0);
        let result = compute(&mut gradient);
        self.step_along(&gradient);
        self.params.observe(&self.batch.take());
        self.gradient = gradient;
        result
    }

    /// Writes parameters and the optimiser's state to `section`.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        self.params.save(prefix, section);
        self.adam.save(prefix, section);
    }

    /// Restores the state written by [`Trainable::save`].
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, prefix: &str, section: &Section) -> Result<()> {
        self.params.load(prefix, section)?;
        self.adam.load(prefix, section)
    }
}
