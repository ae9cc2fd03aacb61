//! The parameters of one network in one contiguous block: [`ParamBlock`].
//!
//! A block makes the optimiser, the target's averaging and the checkpoint one operation each, and the backward pass
//! deliver one gradient.

use sac_kernels::{ThreadPool, polyak};
use tch::{Device, Kind, Tensor};

use super::{
    init,
    layout::{Entry, Init, ParamLayout},
    params::Params,
};
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::{Error, Result},
    noise::Stream,
    slices::{as_slice, as_slice_mut},
};

/// A network's parameters: one flat leaf tensor `[P]`, and its layout.
pub struct ParamBlock {
    flat: Tensor,
    /// The same memory without its history: asking libtorch for that takes microseconds.
    data: Tensor,
    layout: ParamLayout,
    sizes: Vec<i64>,
    /// Views of the same memory without a history; changes in place show through.
    frozen: Params,
    threads: ThreadPool,
}

impl ParamBlock {
    /// Draws initial values from `stream`, parameter by parameter in the order of the layout.
    pub fn new(layout: ParamLayout, stream: &mut Stream, compute: &Compute) -> Self {
        let sizes = layout.sizes();
        let mut values = vec![0.0f32; layout.count() as usize];
        let mut rest = values.as_mut_slice();
        for (entry, size) in layout.entries.iter().zip(&sizes) {
            let (head, tail) = rest.split_at_mut(*size as usize);
            match entry.init {
                Init::Linear { fan_in } => init::linear(fan_in, stream, head),
                Init::Orthogonal { gain } => init::orthogonal(&entry.shape, gain, stream, head),
                Init::Constant(value) => head.fill(value),
            }
            rest = tail;
        }
        let flat = Tensor::from_slice(&values)
            .to_device(compute.device)
            .set_requires_grad(true);
        ParamBlock::of(flat, layout, sizes, compute.threads.clone())
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

    /// The leaf tensor without its history, for changes in place.
    pub fn data(&self) -> Tensor {
        self.data.shallow_clone()
    }

    /// Where the block lives.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// Views through which gradients reach the block.
    pub fn views(&self) -> Params {
        self.frozen.with_history(&self.flat)
    }

    /// Views through which none does: the block as a constant.
    pub fn frozen(&self) -> &Params {
        &self.frozen
    }

    /// Names and views without a history of the parameters that the block begins with; changes show through both ways.
    ///
    /// # Panics
    /// When it does not begin with `start`.
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

    /// A copy that no gradient reaches, for targets.
    pub fn detached_copy(&self) -> ParamBlock {
        let copy = self.data().copy();
        ParamBlock::of(copy, self.layout.clone(), self.sizes.clone(), self.threads.clone())
    }

    /// θ ← θ + rate · (other − θ), in place. Both blocks have one layout.
    pub fn move_towards(&mut self, other: &ParamBlock, rate: f64) {
        assert_eq!(self.sizes, other.sizes, "a target has the layout of what it follows");
        let mut data = self.data();
        match self.device() {
            Device::Cpu => polyak(&self.threads, as_slice_mut(&mut data), as_slice(&other.data), rate),
            _ => drop(data.lerp_(&other.data, rate)),
        }
    }

    /// Writes every parameter under `prefix/name`.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        for (part, entry) in self.frozen.iter().zip(&self.layout.entries) {
            section.put_tensor(format!("{prefix}/{}", entry.name), part);
        }
    }

    /// Takes every parameter from `prefix/name`; shapes must agree.
    ///
    /// # Errors
    /// When one is missing or has another shape.
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

    /// Whether every parameter is a finite number. Waits for the device.
    pub fn is_finite(&self) -> bool {
        self.data().isfinite().all().int64_value(&[]) == 1
    }

    /// Number of values of the parameters whose names begin with `prefix`.
    pub fn count_of(&self, prefix: &str) -> i64 {
        let entries = self.layout.entries.iter().zip(&self.sizes);
        entries
            .filter(|(entry, _)| entry.name.starts_with(prefix))
            .map(|(_, size)| size)
            .sum()
    }

    /// A zero tensor shaped like the block, for an optimiser's moments.
    pub fn zeros_like(&self) -> Tensor {
        Tensor::zeros(self.flat.size(), (Kind::Float, self.device()))
    }
    /// Name and values of every parameter, for tests and reports.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        self.layout
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .zip(self.frozen.iter().map(Tensor::copy))
            .collect()
    }

    /// Overwrites a parameter by name, for tests and imports.
    ///
    /// # Errors
    /// When there is none of that name and shape.
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
