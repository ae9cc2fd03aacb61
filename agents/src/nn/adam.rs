//! Adam: [`AdamSpec`], and the optimiser of one parameter block.
//!
//! We implement it because tch's optimisers cannot save their moments, which an exact resume needs.
//!
//! Source: Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1.

use sac_kernels::{ThreadPool, adam::AdamStep};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::ParamBlock;
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    slices::{as_slice, as_slice_mut},
    spec_problems::SpecProblems,
};

/// Settings of Adam. Defaults: the learning rate of SAC's table 1, and the other values of the Adam paper.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamSpec {
    /// Step size, above 0.
    pub learning_rate: f64,
    /// Decay rate of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay rate of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the square root of the second moment, above 0.
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
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            let holds = (0.0..1.0).contains(&value);
            p.require(holds, &format!("{key}.{name}"), value, "at least 0 and below 1");
        }
    }
}

/// The optimiser's state: first and second moment of a block's gradient, and the number of steps.
pub(super) struct Adam {
    spec: AdamSpec,
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
            first: params.zeros_like(),
            second: params.zeros_like(),
            steps: match compute.device {
                Device::Cpu => Steps::Host(0),
                device => Steps::Device(Tensor::zeros([1], (Kind::Double, device)).squeeze()),
            },
            threads: compute.threads.clone(),
        }
    }

    /// Makes one step with `gradient` `[P]`.
    pub(super) fn step(&mut self, params: &mut ParamBlock, gradient: &Tensor) {
        let AdamSpec {
            learning_rate,
            beta1,
            beta2,
            eps,
        } = self.spec;
        let steps = match &mut self.steps {
            Steps::Host(_) => return self.step_on_host(params, as_slice(&gradient.contiguous())),
            Steps::Device(steps) => steps,
        };
        let _guard = tch::no_grad_guard();
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
        let AdamSpec {
            learning_rate,
            beta1,
            beta2,
            eps,
        } = self.spec;
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
