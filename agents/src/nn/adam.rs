//! Adam: [`AdamSpec`], and the optimiser of one parameter block.
//!
//! We implement it because tch's optimisers cannot save their moments, which an exact resume needs.
//!
//! Source: Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1.

use std::f64::consts::PI;

use sac_kernels::{ThreadPool, adam::AdamStep};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::ParamBlock;
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    schedule::GradSteps,
    slices::{as_slice, as_slice_mut},
    spec_problems::SpecProblems,
};

/// Settings of Adam. Defaults: the learning rate of SAC's table 1, and the other values of the Adam paper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSpec {
    /// Step size, above 0; with `anneal`, before the first update.
    pub learning_rate: f64,
    /// Decay rate of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay rate of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the square root of the second moment, above 0.
    pub eps: f64,
    /// Share of the weights, times the learning rate, that a step takes away, at least 0. Biases, normalisation and other
    /// parameters do not decay (AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2).
    #[serde(skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// Largest norm of the gradient of the network: a longer one is shortened to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_gradient_norm: Option<f64>,
    /// Annealing of the learning rate, if it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anneal: Option<LearningRateAnnealSpec>,
}

/// Annealing of a learning rate from the first update on. Afterwards it stays at its final value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRateAnnealSpec {
    /// Final learning rate, at least 0.
    pub to: f64,
    /// Length of the annealing, gradient steps of the agent, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_grad_steps: Option<u64>,
    /// Length of the annealing as a multiple of all gradient steps of the run, above 0, in place of `over_grad_steps`.
    /// With 2, the run ends half-way. Replaced by gradient steps when the configuration is resolved
    /// ([`AdamSpec::for_budget`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_budget: Option<f64>,
    /// Interpolation between initial and final value.
    #[serde(default)]
    pub curve: LearningRateCurve,
}

/// An interpolation between two learning rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LearningRateCurve {
    /// Equal differences per gradient step.
    #[default]
    Linear,
    /// Half a cosine: slow at both ends (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5, without restarts).
    Cosine,
}

impl Default for AdamSpec {
    fn default() -> Self {
        AdamSpec {
            learning_rate: 3e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_gradient_norm: None,
            anneal: None,
        }
    }
}

/// Whether a setting is 0, which files omit.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Upper limit of learning rates, far beyond use: a step of Adam is about as long as its learning rate.
const MOST_LEARNING_RATE: f64 = 1000.0;

impl AdamSpec {
    /// Reports values that are out of range, for the optimiser at `key`.
    pub fn check(&self, p: &mut SpecProblems, key: &str) {
        let rate = self.learning_rate;
        let holds = rate > 0.0 && rate <= MOST_LEARNING_RATE;
        let expected = format!("above 0 and at most {MOST_LEARNING_RATE}");
        p.require(holds, &format!("{key}.learning_rate"), format!("{rate:?}"), &expected);
        p.require_positive(&format!("{key}.eps"), self.eps);
        p.require_not_negative(&format!("{key}.weight_decay"), self.weight_decay);
        let largest_share = rate * self.weight_decay;
        let expected = format!("below 1 when multiplied by {key}.learning_rate");
        p.require(
            largest_share < 1.0,
            &format!("{key}.weight_decay"),
            self.weight_decay,
            &expected,
        );
        if let Some(norm) = self.max_gradient_norm {
            p.require_positive(&format!("{key}.max_gradient_norm"), norm);
        }
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            let holds = (0.0..1.0).contains(&value);
            p.require(holds, &format!("{key}.{name}"), value, "at least 0 and below 1");
        }
        if let Some(LearningRateAnnealSpec {
            to,
            over_grad_steps,
            over_budget,
            ..
        }) = self.anneal
        {
            let holds = (0.0..=MOST_LEARNING_RATE).contains(&to);
            let expected = format!("between 0 and {MOST_LEARNING_RATE}");
            p.require(holds, &format!("{key}.anneal.to"), format!("{to:?}"), &expected);
            let (name, expected) = (
                format!("{key}.anneal.over_grad_steps"),
                "at least 1, or over_budget above 0",
            );
            match (over_grad_steps, over_budget) {
                (Some(steps), None) => p.require(steps > 0, &name, steps, expected),
                (None, Some(share)) => p.require_positive(&format!("{key}.anneal.over_budget"), share),
                (None, None) => p.require(false, &name, "not set", expected),
                (Some(steps), Some(_)) => p.require(false, &name, steps, "no over_grad_steps beside over_budget"),
            }
        }
    }

    /// The same settings for a run of `budget` gradient steps.
    #[must_use]
    pub fn for_budget(self, budget: GradSteps) -> Self {
        let in_steps = |anneal: LearningRateAnnealSpec| {
            let Some(share) = anneal.over_budget else {
                return anneal;
            };
            LearningRateAnnealSpec {
                over_grad_steps: Some(((share * budget.0 as f64).ceil() as u64).max(1)),
                over_budget: None,
                ..anneal
            }
        };
        AdamSpec {
            anneal: self.anneal.map(in_steps),
            ..self
        }
    }

    /// The learning rate after `at` gradient steps. [`AdamSpec::for_budget`] comes first.
    pub fn learning_rate_at(&self, at: GradSteps) -> f64 {
        let from = self.learning_rate;
        let Some(LearningRateAnnealSpec {
            to,
            over_grad_steps: Some(length),
            curve,
            ..
        }) = self.anneal
        else {
            return from;
        };
        if at.0 >= length {
            return to;
        }
        let progress = at.0 as f64 / length as f64;
        let weight = match curve {
            LearningRateCurve::Linear => progress,
            LearningRateCurve::Cosine => 0.5 * (1.0 - (PI * progress).cos()),
        };
        from + weight * (to - from)
    }
}

/// Added to the norm of a gradient before a division. PyTorch's `clip_grad_norm_`: 1e-6.
const NORM_EPS: f64 = 1e-6;

/// The gradient at norm `most`; `None` if it is not longer.
fn shortened(gradient: &[f32], most: f64) -> Option<Vec<f32>> {
    let norm = gradient.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let factor = most / (norm + NORM_EPS);
    (factor < 1.0).then(|| gradient.iter().map(|x| (f64::from(*x) * factor) as f32).collect())
}

/// The optimiser's state: first and second moment of a block's gradient, and the number of steps.
pub(super) struct Adam {
    spec: AdamSpec,
    /// Learning rate of the next step.
    learning_rate: f64,
    first: Tensor,
    second: Tensor,
    steps: Steps,
    threads: ThreadPool,
}

/// The number of steps, which determines the bias correction of the moments.
enum Steps {
    /// On the host, for a CPU.
    Host(i64),
    /// On the device, as an `f64`. A step then needs no data from the host and can be recorded as a CUDA graph.
    Device(Tensor),
}

impl Adam {
    /// An optimiser for `params`, with moments of zero.
    pub(super) fn new(spec: AdamSpec, params: &ParamBlock, compute: &Compute) -> Self {
        Adam {
            spec,
            learning_rate: spec.learning_rate_at(GradSteps(0)),
            first: params.zeros_like(),
            second: params.zeros_like(),
            steps: match compute.device {
                Device::Cpu => Steps::Host(0),
                device => Steps::Device(Tensor::zeros([1], (Kind::Double, device)).squeeze()),
            },
            threads: compute.threads.clone(),
        }
    }

    /// Sets the learning rate to its value after `at` gradient steps.
    pub(super) fn anneal(&mut self, at: GradSteps) {
        self.learning_rate = self.spec.learning_rate_at(at);
    }

    /// Forgets all gradients: moments and number of steps are 0 again.
    pub(super) fn reset(&mut self) {
        let _guard = tch::no_grad_guard();
        let _ = (self.first.zero_(), self.second.zero_());
        match &mut self.steps {
            Steps::Host(steps) => *steps = 0,
            Steps::Device(steps) => drop(steps.zero_()),
        }
    }

    /// Makes one step with `gradient` `[P]`.
    pub(super) fn step(&mut self, params: &mut ParamBlock, gradient: &Tensor) {
        let (AdamSpec { beta1, beta2, eps, .. }, learning_rate) = (self.spec, self.learning_rate);
        let steps = match &mut self.steps {
            Steps::Host(_) => return self.step_on_host(params, as_slice(&gradient.contiguous())),
            Steps::Device(steps) => steps,
        };
        let _guard = tch::no_grad_guard();
        let gradient = &match self.spec.max_gradient_norm {
            None => gradient.shallow_clone(),
            Some(most) => gradient * (most / (gradient.norm() + NORM_EPS)).clamp_max(1.0),
        };
        params.decay(learning_rate * self.spec.weight_decay);
        *steps += 1.0;
        let correction = |beta: f64| -(&*steps * beta.ln()).expm1(); // [], 1 − βᵗ
        let _ = self.first.lerp_(gradient, 1.0 - beta1);
        self.second *= beta2;
        self.second += gradient.square() * (1.0 - beta2);
        let scale = (&self.second / correction(beta2).to_kind(Kind::Float)).sqrt() + eps;
        let step_size = (correction(beta1).reciprocal() * learning_rate).to_kind(Kind::Float);
        let mut data = params.data();
        data -= &self.first / scale * step_size;
    }

    /// Makes one step with a gradient `[P]` on the host.
    pub(super) fn step_on_host(&mut self, params: &mut ParamBlock, gradient: &[f32]) {
        let Steps::Host(steps) = &mut self.steps else {
            let gradient = Tensor::from_slice(gradient).to_device(params.device());
            return self.step(params, &gradient);
        };
        *steps += 1;
        let (AdamSpec { beta1, beta2, eps, .. }, learning_rate) = (self.spec, self.learning_rate);
        let shortened = self.spec.max_gradient_norm.and_then(|most| shortened(gradient, most));
        let gradient = shortened.as_deref().unwrap_or(gradient);
        params.decay(learning_rate * self.spec.weight_decay);
        let mut data = params.data();
        let [data, first, second] = [&mut data, &mut self.first, &mut self.second].map(as_slice_mut);
        AdamStep::new(learning_rate, beta1, beta2, eps, *steps).apply(&self.threads, data, first, second, gradient);
    }

    /// Writes moments and number of steps to `section`.
    pub(super) fn save(&self, prefix: &str, section: &mut Section) {
        section.put_tensor(format!("{prefix}/adam.first"), &self.first);
        section.put_tensor(format!("{prefix}/adam.second"), &self.second);
        let steps = match &self.steps {
            Steps::Host(steps) => *steps,
            Steps::Device(steps) => steps.int64_value(&[]),
        };
        section.put_tensor(format!("{prefix}/adam.steps"), &Tensor::from_slice(&[steps]));
    }

    /// Restores the state written by [`Adam::save`], in place, because recorded updates refer to these tensors.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape. The state is then unchanged.
    pub(super) fn load(&mut self, prefix: &str, section: &Section) -> Result<()> {
        let (size, device) = (self.first.size(), self.first.device());
        let first = section.tensor(&format!("{prefix}/adam.first"), &size)?;
        let second = section.tensor(&format!("{prefix}/adam.second"), &size)?;
        let steps = section.tensor(&format!("{prefix}/adam.steps"), &[1])?.int64_value(&[0]);
        self.first.copy_(&first.to_device(device));
        self.second.copy_(&second.to_device(device));
        match &mut self.steps {
            Steps::Host(host) => *host = steps,
            Steps::Device(tensor) => drop(tensor.fill_(steps)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nn::{Init, ParamLayout},
        noise::Stream,
    };

    #[test]
    fn a_learning_rate_begins_and_ends_at_its_ends_and_has_the_mean_of_both_in_the_middle() {
        let rates = |curve| {
            let spec = AdamSpec {
                learning_rate: 3e-3,
                anneal: Some(LearningRateAnnealSpec {
                    to: 1e-3,
                    over_grad_steps: Some(1000),
                    over_budget: None,
                    curve,
                }),
                ..AdamSpec::default()
            };
            [0, 250, 500, 999, 1000, u64::MAX].map(|at| spec.learning_rate_at(GradSteps(at)))
        };
        for (curve, quarter) in [
            (LearningRateCurve::Linear, 2.5e-3),
            (LearningRateCurve::Cosine, 2e-3 + 1e-3 * 0.5f64.sqrt()),
        ] {
            let [first, at_quarter, middle, last_before, end, ever] = rates(curve);
            assert_eq!([first, end, ever], [3e-3, 1e-3, 1e-3], "{curve:?}");
            assert!((at_quarter - quarter).abs() < 1e-12, "{curve:?}: {at_quarter}");
            assert!((middle - 2e-3).abs() < 1e-12, "{curve:?}: {middle}");
            assert!(last_before > 1e-3 && last_before < 1.003e-3, "{curve:?}: {last_before}");
        }
        assert_eq!(AdamSpec::default().learning_rate_at(GradSteps(u64::MAX)), 3e-4);
    }

    fn block(len: i64) -> ParamBlock {
        let mut layout = ParamLayout::default();
        layout.add("weight", &[len], Init::Linear { fan_in: 1 });
        ParamBlock::new(layout, &mut Stream::derive(1, "test", 0), &Compute::default())
    }

    #[test]
    fn moments_decay_to_zero_and_not_to_subnormal_numbers() {
        let mut params = block(40);
        let mut adam = Adam::new(AdamSpec::default(), &params, &Compute::default());
        adam.step(&mut params, &Tensor::full([40], 1e-3, (Kind::Float, Device::Cpu)));
        let zeros = Tensor::zeros([40], (Kind::Float, Device::Cpu));
        for _ in 0..1000 {
            adam.step(&mut params, &zeros);
        }
        assert_eq!(adam.first, zeros);
        assert!(as_slice(&adam.second).iter().all(|v| v.is_normal()));
        let weights = params.data().copy();
        adam.step(&mut params, &zeros);
        assert_eq!(params.data(), weights, "a zero gradient no longer changes the weights");
        adam.step(&mut params, &Tensor::full([40], f64::NAN, (Kind::Float, Device::Cpu)));
        assert!(as_slice(&params.data()).iter().all(|weight| weight.is_nan()));
    }

    #[test]
    fn steps_counted_on_device_and_host_give_the_same_parameters() {
        let (mut on_host, mut on_device) = (block(40), block(40));
        let mut host = Adam::new(AdamSpec::default(), &on_host, &Compute::default());
        let mut device = Adam {
            steps: Steps::Device(Tensor::zeros([1], (Kind::Double, Device::Cpu)).squeeze()),
            ..Adam::new(AdamSpec::default(), &on_device, &Compute::default())
        };
        let mut stream = Stream::derive(2, "test", 0);
        for step in 0..40 {
            let gradient = stream.normal(&[40], Device::Cpu);
            host.step(&mut on_host, &gradient);
            device.step(&mut on_device, &gradient);
            let error = (on_host.data() - on_device.data()).abs().max().double_value(&[]);
            assert!(error < 1e-6, "step {step}: {error}");
        }
    }
}
