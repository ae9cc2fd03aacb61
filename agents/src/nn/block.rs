//! The parameters of one network in one contiguous tensor: [`ParamBlock`].
//!
//! With one tensor, a step of the optimiser, an update of target parameters and a checkpoint are one operation each,
//! and the backward pass computes one gradient.

use sac_kernels::{ThreadPool, polyak};
use tch::{Device, Kind, Tensor};

use super::{
    constraints, init,
    layout::{Entry, Init, ParamLayout},
    params::{Observed, Params},
};
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::{Error, Result},
    noise::Stream,
    slices::{as_slice, as_slice_mut},
};

/// The parameters of a network: one flat leaf tensor `[P]` of the autograd graph, and its layout.
pub struct ParamBlock {
    flat: Tensor,
    /// `flat` detached. Kept because detaching takes libtorch microseconds.
    data: Tensor,
    layout: ParamLayout,
    sizes: Vec<i64>,
    /// Detached views of the same memory, which see changes in place.
    frozen: Params,
    threads: ThreadPool,
}

impl ParamBlock {
    /// Draws initial values from `stream`, one parameter after the other in the order of the layout.
    pub fn new(layout: ParamLayout, stream: &mut Stream, compute: &Compute) -> Self {
        let sizes = layout.sizes();
        let mut values = vec![0.0f32; layout.count() as usize];
        let mut rest = values.as_mut_slice();
        for (entry, size) in layout.entries.iter().zip(&sizes) {
            let (head, tail) = rest.split_at_mut(*size as usize);
            match entry.init {
                Init::Linear { fan_in } => init::linear(fan_in, stream, head),
                Init::Orthogonal { gain } => init::orthogonal(&entry.shape, gain, stream, head),
                Init::Glorot => init::glorot(&entry.shape, stream, head),
                Init::He { fan_in } => init::he(fan_in, stream, head),
                Init::Constant(value) => head.fill(value),
            }
            rest = tail;
        }
        let flat = Tensor::from_slice(&values)
            .to_device(compute.device)
            .set_requires_grad(true);
        let mut block = ParamBlock::of(flat, layout, sizes, compute.threads.clone());
        block.constrain();
        block
    }

    fn of(flat: Tensor, layout: ParamLayout, sizes: Vec<i64>, threads: ThreadPool) -> Self {
        let data = flat.detach();
        let parts = data.split_with_sizes(&sizes, 0);
        let shaped = |(part, entry): (&Tensor, &Entry)| part.view(&entry.shape[..]);
        let frozen = Params::of(parts.iter().zip(&layout.entries).map(shaped).collect());
        ParamBlock {
            flat,
            data,
            layout,
            sizes,
            frozen,
            threads,
        }
    }

    /// The leaf tensor `[P]`.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// The leaf tensor detached, for changes in place.
    pub fn data(&self) -> Tensor {
        self.data.shallow_clone()
    }

    /// The block's device.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// Views of the parameters through which gradients reach the block.
    pub fn views(&self) -> Params {
        self.frozen.with_history(&self.flat)
    }

    /// Detached views of the parameters, for using the block as a constant.
    pub fn frozen(&self) -> &Params {
        &self.frozen
    }

    /// Names and detached views of the parameters in `start`, which the block must begin with. The views share memory
    /// with the block.
    ///
    /// # Panics
    /// When the block does not begin with `start`.
    pub fn frozen_start(&self, start: &ParamLayout) -> (Vec<String>, Params) {
        let count = start.entries.len();
        assert!(
            start.entries().eq(self.layout.entries().take(count)),
            "the block begins with these parameters"
        );
        let names = start.entries().map(|(name, _)| name.to_string()).collect();
        let views = (0..count)
            .map(|index| self.frozen.constant(index).shallow_clone())
            .collect();
        (names, Params::of(views))
    }

    /// The names of the parameters, in the order of the layout.
    pub fn names(&self) -> Vec<String> {
        self.layout.entries.iter().map(|entry| entry.name.clone()).collect()
    }

    /// A detached copy, for target parameters.
    pub fn detached_copy(&self) -> ParamBlock {
        let copy = self.data().copy();
        ParamBlock::of(copy, self.layout.clone(), self.sizes.clone(), self.threads.clone())
    }

    /// Sets θ ← θ + rate · (other − θ) in place. Both blocks have the same layout.
    pub fn move_towards(&mut self, other: &ParamBlock, rate: f64) {
        assert_eq!(
            self.sizes, other.sizes,
            "target and learned parameters have the same layout"
        );
        let mut data = self.data();
        match self.device() {
            Device::Cpu => polyak(&self.threads, as_slice_mut(&mut data), as_slice(&other.data), rate),
            _ => drop(data.lerp_(&other.data, rate)),
        }
    }

    /// Restores the constraints of the layout. To be called after every step of the optimiser.
    pub(super) fn constrain(&mut self) {
        for constraint in &self.layout.constraints {
            let params: Vec<&Tensor> = constraint
                .params()
                .iter()
                .map(|index| self.frozen.constant(index.0))
                .collect();
            constraints::restore(constraint, &params);
        }
    }

    /// Moves running statistics towards the observed values: θ ← θ + weight · (value − θ).
    pub(super) fn observe(&mut self, observed: &[Observed]) {
        if observed.is_empty() {
            return;
        }
        let _guard = tch::no_grad_guard();
        for Observed {
            statistic,
            value,
            weight,
        } in observed
        {
            let mut kept = self.frozen.constant(statistic.0).shallow_clone();
            let _ = kept.lerp_(value, *weight);
        }
    }

    /// Takes a share away from the weights of all layers: θ ← θ − share · θ.
    pub(super) fn decay(&mut self, share: f64) {
        if share == 0.0 {
            return;
        }
        let _guard = tch::no_grad_guard();
        for (entry, weight) in self.layout.entries.iter().zip(self.frozen.iter()) {
            if entry.is_weight() {
                let mut weight = weight.shallow_clone();
                weight *= 1.0 - share;
            }
        }
    }

    /// Mixes freshly drawn initial values into all parameters and running statistics: θ ← (1 − share) · θ + share · new.
    pub(super) fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        let fresh = ParamBlock::new(self.layout.clone(), stream, compute);
        let _guard = tch::no_grad_guard();
        drop(self.data.lerp_(&fresh.data, share));
        self.constrain();
    }

    /// Number of learned elements, without running statistics.
    pub fn learned_count(&self) -> i64 {
        self.layout.learned()
    }

    /// Writes every parameter to `section` as `prefix/name`.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        for (part, entry) in self.frozen.iter().zip(&self.layout.entries) {
            section.put_tensor(format!("{prefix}/{}", entry.name), part);
        }
    }

    /// Restores every parameter from `prefix/name` in `section`.
    ///
    /// # Errors
    /// When a parameter is missing or has another shape.
    pub fn load(&mut self, prefix: &str, section: &Section) -> Result<()> {
        let mut parts = Vec::with_capacity(self.sizes.len());
        for entry in &self.layout.entries {
            parts.push(
                section
                    .tensor(&format!("{prefix}/{}", entry.name), &entry.shape)?
                    .view([-1]),
            );
        }
        self.data().copy_(&Tensor::cat(&parts, 0).to_device(self.device()));
        Ok(())
    }

    /// Whether every parameter is finite. Waits for the device.
    pub fn is_finite(&self) -> bool {
        self.data().isfinite().all().int64_value(&[]) == 1
    }

    /// Number of elements of the parameters whose names begin with `prefix`.
    pub fn count_of(&self, prefix: &str) -> i64 {
        let entries = self.layout.entries.iter().zip(&self.sizes);
        entries
            .filter(|(entry, _)| entry.name.starts_with(prefix))
            .map(|(_, size)| size)
            .sum()
    }

    /// A zero tensor `[P]` on the block's device, for an optimiser's moments.
    pub fn zeros_like(&self) -> Tensor {
        Tensor::zeros(self.flat.size(), (Kind::Float, self.device()))
    }

    /// Names and copies of all parameters, for tests and reports.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        self.layout
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .zip(self.frozen.iter().map(Tensor::copy))
            .collect()
    }

    /// Overwrites the parameter `name`, for tests and imports.
    ///
    /// # Errors
    /// When no parameter has that name and shape.
    pub fn set(&mut self, name: &str, values: &Tensor) -> Result<()> {
        let index = self.layout.entries.iter().position(|entry| entry.name == name);
        match index {
            Some(index) if values.size() == self.layout.entries[index].shape => {
                self.frozen.constant(index).shallow_clone().copy_(values);
                Ok(())
            }
            _ => Err(Error::section(
                name,
                format!("no parameter of this name has shape {:?}", values.size()),
            )),
        }
    }
}
