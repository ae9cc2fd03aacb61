//! Layers over the last dimension of a tensor: [`Linear`], [`LayerNorm`].

use sac_policy::{Op, Value};
use tch::Tensor;

use crate::{
    error::Result,
    nn::{
        layout::{Init, ParamIndex, ParamLayout},
        params::Params,
        tracer::Tracer,
    },
};

/// A linear layer `x·W + b`, with or without the bias b.
pub struct Linear {
    weight: ParamIndex,
    bias: Option<ParamIndex>,
    inputs: i64,
    outputs: i64,
}

impl Linear {
    /// Adds `name.weight [in, out]` and `name.bias [out]` to `layout`.
    pub fn new(name: &str, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        let without = Linear::without_bias(name, inputs, outputs, layout);
        let bias = layout.add(format!("{name}.bias"), &[outputs], Init::Linear { fan_in: inputs });
        Linear {
            bias: Some(bias),
            ..without
        }
    }

    /// Adds `name.weight [in, out]` to `layout`.
    pub fn without_bias(name: &str, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        let init = Init::Linear { fan_in: inputs };
        Linear {
            weight: layout.add(format!("{name}.weight"), &[inputs, outputs], init),
            bias: None,
            inputs,
            outputs,
        }
    }

    /// The outputs `[…, out]` at `x […, in]`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let out = x.matmul(&params[self.weight]);
        match self.bias {
            None => out,
            Some(bias) => out + &params[bias],
        }
    }

    /// Adds this layer to a graph.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let op = Op::Linear {
            weight: tracer.param(self.weight)?,
            bias: self.bias.map(|bias| tracer.param(bias)).transpose()?,
        };
        tracer.add(op, &[x])
    }

    /// Multiply-adds for one row.
    pub fn multiply_adds(&self) -> i64 {
        self.inputs * self.outputs
    }
}

/// Layer normalisation: mean 0 and standard deviation 1 over the last dimension, then a learned gain and shift.
///
/// Source: Ba et al. 2016 (arXiv 1607.06450).
pub struct LayerNorm {
    gain: ParamIndex,
    shift: ParamIndex,
    width: i64,
    eps: f64,
}

impl LayerNorm {
    /// Adds `name.gain [width]` and `name.shift [width]` to `layout`. `eps` is added to the variance.
    pub fn new(name: &str, width: i64, eps: f64, layout: &mut ParamLayout) -> Self {
        LayerNorm {
            gain: layout.add(format!("{name}.gain"), &[width], Init::Constant(1.0)),
            shift: layout.add(format!("{name}.shift"), &[width], Init::Constant(0.0)),
            width,
            eps,
        }
    }

    /// The normalised `x […, width]`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let (gain, shift) = (&params[self.gain], &params[self.shift]);
        x.layer_norm([self.width], Some(gain), Some(shift), self.eps, false)
    }

    /// Adds this layer to a graph.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let op = Op::LayerNorm {
            gain: tracer.param(self.gain)?,
            shift: tracer.param(self.shift)?,
            eps: self.eps as f32,
        };
        tracer.add(op, &[x])
    }
}
