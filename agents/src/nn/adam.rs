//! Adam on a parameter block.
//!
//! Our own because tch's optimisers have no way to save their moments, without which no run resumes exactly.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    checkpoint::Section,
    error::Result,
    nn::params::{ParamBlock, ParamLayout},
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

/// First and second moment of a block's gradient, and how many steps they saw.
struct Moments {
    first: Tensor,
    second: Tensor,
    steps: i64,
}

/// A parameter block with the optimiser that moves it.
pub struct Trainable {
    /// The parameters.
    pub params: ParamBlock,
    spec: AdamSpec,
    moments: Moments,
}

impl Trainable {
    /// Draws initial parameters; moments start at zero.
    pub fn new(layout: ParamLayout, spec: AdamSpec, stream: &mut Stream, device: tch::Device) -> Self {
        let params = ParamBlock::new(layout, stream, device);
        let moments = Moments {
            first: params.zeros_like(),
            second: params.zeros_like(),
            steps: 0,
        };
        Trainable { params, spec, moments }
    }

    /// One step down the gradient of `loss` (a scalar) with respect to this block and nothing else.
    pub fn descend(&mut self, loss: &Tensor) {
        let gradients = Tensor::run_backward(&[loss], &[self.params.flat()], false, false);
        self.step(&gradients[0]);
    }

    /// One step along a given gradient `[P]`.
    ///
    /// Source: Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1.
    pub fn step(&mut self, gradient: &Tensor) {
        let AdamSpec {
            learning_rate,
            beta1,
            beta2,
            eps,
        } = self.spec;
        let Moments { first, second, steps } = &mut self.moments;
        let _guard = tch::no_grad_guard();
        *steps += 1;
        let _ = first.lerp_(gradient, 1.0 - beta1);
        *second *= beta2;
        *second += gradient.square() * (1.0 - beta2);
        let first_correction = 1.0 - beta1.powf(*steps as f64);
        let second_correction = 1.0 - beta2.powf(*steps as f64);
        let mut scale = second.sqrt();
        scale /= second_correction.sqrt();
        scale += eps;
        let mut change = &*first / scale;
        change *= learning_rate / first_correction;
        let mut data = self.params.data();
        data -= change;
    }

    /// Writes parameters and moments.
    pub fn save(&self, prefix: &str, section: &mut Section) {
        self.params.save(prefix, section);
        section.put_tensor(format!("{prefix}/adam.first"), &self.moments.first);
        section.put_tensor(format!("{prefix}/adam.second"), &self.moments.second);
        section.put_tensor(
            format!("{prefix}/adam.steps"),
            &Tensor::from_slice(&[self.moments.steps]),
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
        self.moments = Moments { first, second, steps };
        Ok(())
    }
}
