//! The parameters of one network in one contiguous block: [`ParamBlock`].
//!
//! A block makes the optimiser, the target's averaging and the checkpoint one operation each, and the backward pass
//! deliver one gradient.
//!
//! A block may hold those of R replicates side by side, `[R·P]`, for passes that serve all of them
//! ([`crate::soft_actor_critic::stack`]): then every view has a leading dimension R.

use std::cell::OnceCell;

use tch::{Device, Kind, Tensor};

use crate::{
    checkpoint::Section,
    error::{Error, Result},
    nn::{
        crew,
        explicit::{self, Passes},
        init,
        layout::{Entry, Init, ParamIndex, ParamLayout},
        numbers::{numbers, numbers_mut},
    },
    noise::Stream,
};

/// Views of a block's parameters, valid for one forward pass.
#[derive(Default)]
pub struct Params {
    /// Without history, unless they were made otherwise than by a block.
    views: Vec<Tensor>,
    /// Where gradients are to reach the block.
    history: Option<History>,
    /// Where passes by hand are noted, if the one who will descend reads them.
    passes: Option<Passes>,
    /// Where those of each replicate lie, if there are several.
    stacked: Option<Stacked>,
}

/// Parameters of several replicates, one after the other.
#[derive(Debug)]
struct Stacked {
    /// `[R·P]`, without history.
    flat: Tensor,
    replicates: usize,
    /// Of each parameter among the P of a replicate: where it starts, and how many numbers it has.
    places: Vec<(usize, usize)>,
}

impl Stacked {
    fn shallow_clone(&self) -> Self {
        Stacked {
            flat: self.flat.shallow_clone(),
            replicates: self.replicates,
            places: self.places.clone(),
        }
    }
}

/// The same views with history, made when somebody asks: passes by hand do not, and those views take longer than the
/// sums of some layers.
struct History {
    flat: Tensor,
    views: OnceCell<Vec<Tensor>>,
}

impl Params {
    fn of(views: Vec<Tensor>) -> Self {
        Params {
            views,
            ..Params::default()
        }
    }

    /// Views through which gradients reach the block, if it is to learn.
    fn views(&self) -> &[Tensor] {
        let Some(History { flat, views }) = &self.history else {
            return &self.views;
        };
        views.get_or_init(|| {
            let replicates = self.replicates() as i64;
            let sizes: Vec<i64> = self.views.iter().map(|view| view.numel() as i64 / replicates).collect();
            tch::with_grad(|| {
                let parts = split(flat, &sizes, replicates);
                let shaped = parts.iter().zip(&self.views).map(|(part, view)| part.view_as(view));
                shaped.collect()
            })
        })
    }

    /// R: how many replicates they are of.
    pub(crate) fn replicates(&self) -> usize {
        self.stacked.as_ref().map_or(1, |stacked| stacked.replicates)
    }

    /// The numbers of one replicate's parameter, on the CPU.
    pub(super) fn numbers(&self, index: ParamIndex, replicate: usize) -> &[f32] {
        match &self.stacked {
            None => numbers(&self.views[index.0]),
            Some(stacked) => {
                let all = numbers(&stacked.flat);
                let (start, len) = stacked.places[index.0];
                &all[replicate * (all.len() / stacked.replicates) + start..][..len]
            }
        }
    }

    /// The numbers of a parameter, through which no gradient need pass.
    pub(super) fn constant(&self, index: ParamIndex) -> &Tensor {
        &self.views[index.0]
    }

    /// Whether gradients are to reach a parameter.
    pub(super) fn learns(&self, index: ParamIndex) -> bool {
        self.history.is_some() || self.views[index.0].requires_grad()
    }

    /// How many parameters there are.
    pub(super) fn count(&self) -> usize {
        self.views.len()
    }

    /// The same, with a place to note passes by hand.
    pub(super) fn noting(self, passes: &Passes) -> Self {
        let passes = Some(passes.clone());
        Params { passes, ..self }
    }

    /// Where passes by hand are noted.
    pub(super) fn passes(&self) -> Option<&Passes> {
        self.passes.as_ref()
    }

    /// In the order of the layout; of several replicates with that dimension before their own.
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

/// A network's parameters: one flat leaf tensor `[P]`, or `[R·P]` of several replicates, and its layout.
pub struct ParamBlock {
    flat: Tensor,
    /// The same memory without its history: asking libtorch for that takes microseconds.
    data: Tensor,
    layout: ParamLayout,
    sizes: Vec<i64>,
    /// R.
    replicates: i64,
    /// Views of the same memory without history; changes in place show through.
    frozen: Params,
}

impl ParamBlock {
    /// Draws initial values from `stream`, parameter by parameter in the order of the layout.
    pub fn new(layout: ParamLayout, stream: &mut Stream, device: Device) -> Self {
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
        let flat = Tensor::from_slice(&values).to_device(device).set_requires_grad(true);
        ParamBlock::of(flat, layout, sizes, 1)
    }

    fn of(flat: Tensor, layout: ParamLayout, sizes: Vec<i64>, replicates: i64) -> Self {
        let data = flat.detach();
        let parts = split(&data, &sizes, replicates);
        let shaped = |(part, entry): (&Tensor, &Entry)| match replicates {
            1 => part.view(&entry.shape[..]),
            _ => part.view([&[replicates], &entry.shape[..]].concat().as_slice()),
        };
        let frozen = Params {
            stacked: (replicates > 1).then(|| Stacked {
                flat: data.shallow_clone(),
                replicates: replicates as usize,
                places: places(&sizes),
            }),
            ..Params::of(parts.iter().zip(&layout.entries).map(shaped).collect())
        };
        ParamBlock {
            flat,
            data,
            layout,
            sizes,
            replicates,
            frozen,
        }
    }

    /// Room for the parameters of so many replicates, zero for now.
    pub(crate) fn of_replicates(&self, replicates: usize) -> ParamBlock {
        let count = self.layout.count() * replicates as i64;
        let flat = Tensor::zeros([count], (Kind::Float, self.flat.device()));
        let flat = flat.set_requires_grad(self.flat.requires_grad());
        ParamBlock::of(flat, self.layout.clone(), self.sizes.clone(), replicates as i64)
    }

    /// Moves into the memory of `stack`, as its replicate of that index: from now on what happens to one happens to the
    /// other.
    ///
    /// # Panics
    /// When they differ in their layouts, or there are fewer replicates.
    pub(crate) fn move_into(&mut self, stack: &ParamBlock, replicate: usize) {
        assert!(
            self.layout.entries().eq(stack.layout.entries()) && self.replicates == 1,
            "replicates are alike"
        );
        let mut row = self.row_of(&stack.data(), replicate);
        row.copy_(&self.data());
        let flat = row.set_requires_grad(self.flat.requires_grad());
        *self = ParamBlock::of(flat, self.layout.clone(), self.sizes.clone(), 1);
    }

    /// What belongs to a replicate of numbers `[R·P]`, as this block's are.
    pub(super) fn row_of(&self, numbers: &Tensor, replicate: usize) -> Tensor {
        let count = self.layout.count();
        numbers.narrow(0, replicate as i64 * count, count)
    }

    /// The leaf tensor `[P]`.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// The leaf tensor without its history, for changes in place.
    pub fn data(&self) -> Tensor {
        self.data.shallow_clone()
    }

    /// Views through which gradients reach the block.
    pub fn views(&self) -> Params {
        Params {
            views: self.frozen.views.iter().map(Tensor::shallow_clone).collect(),
            history: Some(History {
                flat: self.flat.shallow_clone(),
                views: OnceCell::new(),
            }),
            passes: None,
            stacked: self.frozen.stacked.as_ref().map(Stacked::shallow_clone),
        }
    }

    /// Views through which none does: the block as a constant.
    pub fn frozen(&self) -> &Params {
        &self.frozen
    }

    /// Names and views without history of the parameters that the block begins with; changes show through both ways.
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
        let views = self.frozen.views[..count].iter().map(Tensor::shallow_clone).collect();
        (names, Params::of(views))
    }

    /// A copy that no gradient reaches, for targets.
    pub fn detached_copy(&self) -> ParamBlock {
        ParamBlock::of(
            self.data().copy(),
            self.layout.clone(),
            self.sizes.clone(),
            self.replicates,
        )
    }

    /// θ ← θ + rate · (other − θ), in place. Both blocks have one layout.
    pub fn move_towards(&mut self, other: &ParamBlock, rate: f64) {
        assert_eq!(self.sizes, other.sizes, "a target has the layout of what it follows");
        let mut data = self.data();
        if explicit::readable(&data) {
            let other = other.data();
            let (numbers, others) = (numbers_mut(&mut data), numbers(&other));
            let share = crew::shares(numbers.len());
            let pairs = numbers.chunks_mut(share).zip(others.chunks(share));
            return crew::each(pairs.collect(), |(numbers, others)| mix(numbers, others, rate));
        }
        let _ = data.lerp_(&other.data(), rate);
    }

    /// Writes every parameter under `prefix/name`.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        for (part, entry) in self.frozen.views.iter().zip(&self.layout.entries) {
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
        self.data().copy_(&Tensor::cat(&parts, 0).to_device(self.flat.device()));
        Ok(())
    }

    /// Whether every parameter is a finite number. Waits for the device.
    pub fn is_finite(&self) -> bool {
        self.data().isfinite().all().int64_value(&[]) == 1
    }

    /// How many numbers the parameters have whose names begin with `prefix`.
    pub fn count_of(&self, prefix: &str) -> i64 {
        let entries = self.layout.entries.iter().zip(&self.sizes);
        entries
            .filter(|(entry, _)| entry.name.starts_with(prefix))
            .map(|(_, size)| size)
            .sum()
    }

    /// A zero tensor shaped like the block, for an optimiser's moments.
    pub fn zeros_like(&self) -> Tensor {
        Tensor::zeros(self.flat.size(), (Kind::Float, self.flat.device()))
    }

    /// Name and values of every parameter, for tests and reports.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        self.layout
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .zip(self.frozen.views.iter().map(Tensor::copy))
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
                self.frozen.views[index].copy_(values);
                Ok(())
            }
            _ => Err(Error::section(
                name,
                format!("no parameter of this name has shape {:?}", values.size()),
            )),
        }
    }
}

/// x ← x + rate · (other − x).
fn mix(numbers: &mut [f32], others: &[f32], rate: f64) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { mix_avx512(numbers, others, rate) };
    }
    mix_plain(numbers, others, rate);
}

/// The same code, for which the compiler may use wider vectors; no operation is fused, so the result is the same.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn mix_avx512(numbers: &mut [f32], others: &[f32], rate: f64) {
    mix_plain(numbers, others, rate);
}

#[inline(always)]
fn mix_plain(numbers: &mut [f32], others: &[f32], rate: f64) {
    // From the nearer end, so that a rate of 1 gives the other's very numbers.
    let (rate, rest) = (rate as f32, (1.0 - rate) as f32);
    let pairs = numbers.iter_mut().zip(others);
    match rate < 0.5 {
        true => pairs.for_each(|(x, other)| *x += rate * (other - *x)),
        false => pairs.for_each(|(x, other)| *x = other - rest * (other - *x)),
    }
}

/// The parameters in a flat tensor: `[size]` each, or `[R, size]` of several replicates.
fn split(flat: &Tensor, sizes: &[i64], replicates: i64) -> Vec<Tensor> {
    match replicates {
        1 => flat.split_with_sizes(sizes, 0),
        _ => flat.view([replicates, -1]).split_with_sizes(sizes, 1),
    }
}

/// Where parameters of such sizes start when they lie one after the other, and their sizes.
fn places(sizes: &[i64]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let place = |size: &i64| {
        let place = (start, *size as usize);
        start += place.1;
        place
    };
    sizes.iter().map(place).collect()
}
