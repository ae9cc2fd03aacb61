//! Adam on a parameter block.
//!
//! Our own because tch's optimisers have no way to save their moments, without which no run resumes exactly.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    checkpoint::Section,
    error::Result,
    nn::{
        crew,
        explicit::{self, Passes, Tape},
        layout::ParamLayout,
        numbers::{numbers, numbers_mut},
        params::{ParamBlock, Params},
    },
    noise::Stream,
};

/// Settings of Adam (Kingma & Ba 2015, algorithm 1). Defaults: learning rate of SAC's table 1, the rest Adam's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSpec {
    /// Step size, > 0.
    pub learning_rate: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, > 0.
    pub eps: f64,
}

impl Default for AdamSpec {
    fn default() -> Self {
        AdamSpec {
            learning_rate: 3e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

impl AdamSpec {
    /// What the moments' start at zero makes of them: 1 − βᵗ of each after t steps.
    fn corrections(&self, steps: i64) -> (f64, f64) {
        let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
        (correction(self.beta1), correction(self.beta2))
    }
}

/// First and second moment of a block's gradient, and how many steps they saw.
struct Moments {
    first: Tensor,
    second: Tensor,
    steps: Steps,
}

/// A count of steps, of which the corrections for the moments' start are made.
enum Steps {
    /// Shared by replicates that take them together.
    Here(Arc<AtomicI64>),
    /// A number in `f64` on the device, so that nothing of a step is computed here: what is recorded once and repeated
    /// then counts on.
    OnDevice(Tensor),
}

impl Steps {
    fn number(&self) -> i64 {
        match self {
            Steps::Here(steps) => steps.load(Ordering::Relaxed),
            Steps::OnDevice(steps) => steps.int64_value(&[]),
        }
    }
}

/// A parameter block with the optimiser that moves it.
pub struct Trainable {
    /// The parameters.
    pub params: ParamBlock,
    spec: AdamSpec,
    moments: Moments,
    /// Made by hand since the last views were taken.
    passes: Passes,
    /// Room for a gradient, kept between steps.
    room: Vec<f32>,
}

impl Trainable {
    /// Draws initial parameters; moments start at zero.
    pub fn new(layout: ParamLayout, spec: AdamSpec, stream: &mut Stream, device: tch::Device) -> Self {
        let params = ParamBlock::new(layout, stream, device);
        let moments = Moments {
            first: params.zeros_like(),
            second: params.zeros_like(),
            steps: Steps::Here(Arc::default()),
        };
        Trainable {
            params,
            spec,
            moments,
            passes: Passes::default(),
            room: Vec::new(),
        }
    }

    /// Room for the same of so many replicates, which will take their steps together.
    pub(crate) fn of_replicates(&self, replicates: usize) -> Trainable {
        let params = self.params.of_replicates(replicates);
        Trainable {
            moments: Moments {
                first: params.zeros_like(),
                second: params.zeros_like(),
                steps: Steps::Here(Arc::default()),
            },
            params,
            spec: self.spec,
            passes: Passes::default(),
            room: Vec::new(),
        }
    }

    /// Moves into the memory of `stack`, as its replicate of that index; see [`ParamBlock::move_into`]. The first to
    /// move says how many steps were taken.
    ///
    /// # Panics
    /// When replicates differ in that, or steps are counted on the device.
    pub(crate) fn move_into(&mut self, stack: &mut Trainable, replicate: usize) {
        let (Steps::Here(own), Steps::Here(shared)) = (&mut self.moments.steps, &stack.moments.steps) else {
            panic!("replicates count their steps here");
        };
        let taken = own.load(Ordering::Relaxed);
        if replicate == 0 {
            shared.store(taken, Ordering::Relaxed);
        }
        assert_eq!(
            taken,
            shared.load(Ordering::Relaxed),
            "replicates of a stack have taken as many steps"
        );
        *own = shared.clone();
        let pairs = [
            (&mut self.moments.first, &stack.moments.first),
            (&mut self.moments.second, &stack.moments.second),
        ];
        for (own, all) in pairs {
            let mut row = self.params.row_of(all, replicate);
            row.copy_(own);
            *own = row;
        }
        self.params.move_into(&stack.params, replicate);
    }

    /// Counts its steps by itself from now on, wherever its numbers lie.
    pub(crate) fn count_alone(&mut self) {
        if let Steps::Here(steps) = &mut self.moments.steps {
            *steps = Arc::new(AtomicI64::new(steps.load(Ordering::Relaxed)));
        }
    }

    /// Views for a pass of which [`Trainable::descend`] will take the gradient.
    pub fn views(&self) -> Params {
        explicit::taken(&self.passes);
        self.params.views().noting(&self.passes)
    }

    /// One step down the gradient of `loss`, a scalar or one number for each replicate `[R]`, with respect to this block
    /// and nothing else.
    pub fn descend(&mut self, loss: &Tensor) {
        match loss.dim() {
            0 => self.step(&self.gradient(loss)),
            // No replicate's loss depends on another's parameters.
            _ => self.step(&self.gradient(&loss.sum(Kind::Float))),
        }
    }

    /// The gradient `[P]` of `loss`, through autograd or through the passes made by hand since views were taken.
    fn gradient(&self, loss: &Tensor) -> Tensor {
        let passes = explicit::taken(&self.passes);
        if passes.is_empty() {
            return Tensor::run_backward(&[loss], &[self.params.flat()], false, false).remove(0);
        }
        let leaves: Vec<&Tensor> = passes.iter().map(|pass| &pass.out).collect();
        let of_leaves = Tensor::run_backward(&[loss], &leaves, false, false);
        let gradients = passes.iter().zip(&of_leaves);
        gradients
            .map(|(pass, of_out)| {
                let mut gradient = Tensor::empty(self.params.flat().size(), (Kind::Float, Device::Cpu));
                let (params, of_out) = (self.params.frozen(), of_out.contiguous());
                pass.tape
                    .to_params(params, numbers(&of_out), numbers_mut(&mut gradient));
                gradient
            })
            .reduce(|sum, gradient| sum + gradient)
            .expect("there is a pass")
    }

    /// One step down a loss whose gradient by the result of a pass, made with these parameters, is known.
    pub(crate) fn descend_from(&mut self, tape: &Tape, of_out: &[f32]) {
        self.descend_along(|params, gradient| {
            tape.to_params(params, of_out, gradient);
            Some(())
        });
    }

    /// One step along the gradient `[P]` that `find` writes, if it does.
    pub(crate) fn descend_along<T>(&mut self, find: impl FnOnce(&Params, &mut [f32]) -> Option<T>) -> Option<T> {
        let mut gradient = std::mem::take(&mut self.room);
        gradient.resize(numbers(self.params.flat()).len(), 0.0);
        let found = find(self.params.frozen(), &mut gradient);
        if found.is_some() {
            self.step_along(&gradient);
        }
        self.room = gradient;
        found
    }

    /// One step along a given gradient `[P]`, or `[R·P]` of several replicates.
    ///
    /// Source: Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1.
    pub fn step(&mut self, gradient: &Tensor) {
        if self.goes_by_hand() && explicit::readable(gradient) {
            return self.step_along(numbers(&gradient.contiguous()));
        }
        let AdamSpec {
            learning_rate,
            beta1,
            beta2,
            eps,
        } = self.spec;
        let Moments { first, second, steps } = &mut self.moments;
        let _guard = tch::no_grad_guard();
        let mut data = self.params.data();
        let (first_correction, second_correction) = match steps {
            Steps::Here(steps) => {
                let steps = steps.fetch_add(1, Ordering::Relaxed) + 1;
                self.spec.corrections(steps)
            }
            Steps::OnDevice(steps) => {
                *steps += 1.0;
                let correction = |beta: f64| -(&*steps * beta.ln()).expm1(); // []
                let _ = first.lerp_(gradient, 1.0 - beta1);
                *second *= beta2;
                *second += gradient.square() * (1.0 - beta2);
                let scale = (&*second / correction(beta2).to_kind(Kind::Float)).sqrt() + eps;
                data -= &*first / scale * (correction(beta1).reciprocal() * learning_rate).to_kind(Kind::Float);
                return;
            }
        };
        let _ = first.lerp_(gradient, 1.0 - beta1);
        *second *= beta2;
        *second += gradient.square() * (1.0 - beta2);
        let mut scale = second.sqrt();
        scale /= second_correction.sqrt();
        scale += eps;
        let mut change = &*first / scale;
        change *= learning_rate / first_correction;
        data -= change;
    }

    fn goes_by_hand(&self) -> bool {
        matches!(self.moments.steps, Steps::Here(_)) && explicit::readable(self.params.flat())
    }

    /// The same along numbers that lie here, in one pass over all of them where the parameters lie here too.
    pub(crate) fn step_along(&mut self, gradient: &[f32]) {
        if !self.goes_by_hand() {
            let device = self.params.flat().device();
            return self.step(&Tensor::from_slice(gradient).to_device(device));
        }
        let Moments { first, second, steps } = &mut self.moments;
        let Steps::Here(steps) = steps else {
            unreachable!("checked above")
        };
        let steps = steps.fetch_add(1, Ordering::Relaxed) + 1;
        let change = Change::of(&self.spec, steps);
        let mut data = self.params.data();
        let [data, first, second] = [&mut data, first, second].map(numbers_mut);
        assert_eq!(
            data.len(),
            gradient.len(),
            "a gradient has a number for every parameter"
        );
        let share = crew::shares(data.len());
        let parts = data
            .chunks_mut(share)
            .zip(first.chunks_mut(share))
            .zip(second.chunks_mut(share));
        crew::each(
            parts.zip(gradient.chunks(share)).collect(),
            |(((data, first), second), gradient)| change.apply(data, first, second, gradient),
        );
    }

    /// From now on steps are counted on the device: those that are recorded and repeated have to.
    pub fn count_on_device(&mut self) {
        let steps = self.moments.steps.number() as f64;
        let device = self.params.flat().device();
        self.moments.steps = Steps::OnDevice(Tensor::full([1], steps, (Kind::Double, device)).squeeze());
    }

    /// Writes parameters and moments.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        self.params.save(prefix, section);
        section.put_tensor(format!("{prefix}/adam.first"), &self.moments.first);
        section.put_tensor(format!("{prefix}/adam.second"), &self.moments.second);
        section.put_tensor(
            format!("{prefix}/adam.steps"),
            &Tensor::from_slice(&[self.moments.steps.number()]),
        );
    }

    /// Takes back what [`Trainable::save`] wrote.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, prefix: &str, section: &Section) -> Result<()> {
        let size = self.params.flat().size();
        let device = self.params.flat().device();
        let first = section
            .tensor(&format!("{prefix}/adam.first"), &size)?
            .to_device(device);
        let second = section
            .tensor(&format!("{prefix}/adam.second"), &size)?
            .to_device(device);
        let steps = section.tensor(&format!("{prefix}/adam.steps"), &[1])?.int64_value(&[0]);
        self.params.load(prefix, section)?;
        // Into what is there: what was recorded goes on with these very tensors.
        self.moments.first.copy_(&first);
        self.moments.second.copy_(&second);
        match &mut self.moments.steps {
            Steps::Here(here) => here.store(steps, Ordering::Relaxed),
            Steps::OnDevice(on_device) => {
                let _ = on_device.fill_(steps);
            }
        }
        Ok(())
    }
}

/// Moments below this are 0. Those of a weight without a gradient, such as a dead unit's, would else shrink until they are
/// subnormal, stay there for ever, and take some processors a hundred times as long (docs/performance.md). A first moment of
/// this size moves a weight by less than 10⁻³⁰, a second one is nothing beside `eps`.
const NEGLIGIBLE: f32 = 1e-35;

/// One step of Adam, in one pass over the numbers.
struct Change {
    first_rate: f32,
    second_decay: f32,
    second_rate: f32,
    root_scale: f32,
    eps: f32,
    step_size: f32,
}

impl Change {
    /// The step of that number.
    fn of(spec: &AdamSpec, steps: i64) -> Self {
        let (first_correction, second_correction) = spec.corrections(steps);
        Change {
            first_rate: (1.0 - spec.beta1) as f32,
            second_decay: spec.beta2 as f32,
            second_rate: (1.0 - spec.beta2) as f32,
            root_scale: second_correction.sqrt() as f32,
            eps: spec.eps as f32,
            step_size: (spec.learning_rate / first_correction) as f32,
        }
    }

    fn apply(&self, data: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { self.apply_avx512(data, first, second, gradient) };
        }
        self.apply_plain(data, first, second, gradient);
    }

    /// The same code, for which the compiler may use wider vectors; no operation is fused, so the result is the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn apply_avx512(&self, data: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        self.apply_plain(data, first, second, gradient);
    }

    #[inline(always)]
    fn apply_plain(&self, data: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        for (((x, m), v), g) in data.iter_mut().zip(first).zip(second).zip(gradient) {
            *m = kept(*m + self.first_rate * (g - *m));
            *v = kept(*v * self.second_decay + g * g * self.second_rate);
            *x -= *m / (v.sqrt() / self.root_scale + self.eps) * self.step_size;
        }
    }
}

#[inline(always)]
fn kept(moment: f32) -> f32 {
    // What is not a number stays none.
    if moment.abs() < NEGLIGIBLE { 0.0 } else { moment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Init;

    #[test]
    fn moments_of_a_weight_without_a_gradient_become_nothing_and_not_subnormal() {
        let mut layout = ParamLayout::default();
        layout.add("weight", &[40], Init::Linear { fan_in: 1 });
        let stream = &mut Stream::derive(1, "test", 0);
        let mut trainable = Trainable::new(layout, AdamSpec::default(), stream, Device::Cpu);
        trainable.step(&Tensor::full([40], 1e-3, (Kind::Float, Device::Cpu)));
        let nothing = Tensor::zeros([40], (Kind::Float, Device::Cpu));
        for _ in 0..1000 {
            trainable.step(&nothing);
        }
        assert_eq!(trainable.moments.first, nothing);
        assert!(numbers(&trainable.moments.second).iter().all(|v| v.is_normal()));
        let weights = trainable.params.data().copy();
        trainable.step(&nothing);
        assert_eq!(trainable.params.data(), weights, "nothing moves it any more");
        trainable.step(&Tensor::full([40], f64::NAN, (Kind::Float, Device::Cpu)));
        assert!(numbers(&trainable.params.data()).iter().all(|weight| weight.is_nan()));
    }
}
