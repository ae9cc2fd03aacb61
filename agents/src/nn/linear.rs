//! Layers over the last dimension of a tensor: [`Linear`], [`MemberLinear`], [`LayerNorm`].

use sac_policy::{Op, Value};
use tch::{Kind, Tensor};

use crate::{
    error::Result,
    nn::{
        Activations,
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

/// A linear layer `x·W + b` of a single network, or of every member of an ensemble of `E`.
#[derive(Clone, Debug)]
pub struct MemberLinear {
    weight: ParamIndex,
    bias: Option<ParamIndex>,
    inputs: i64,
    outputs: i64,
    members: Option<i64>,
}

impl MemberLinear {
    /// Adds `name.weight`, `[in, out]` or `[E, in, out]`, and `name.bias`, `[out]` or `[E, 1, out]`, to `layout`.
    pub fn new(name: &str, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let init = Init::Linear { fan_in: inputs };
        MemberLinear::with_init(name, (inputs, outputs), members, init, layout)
    }

    /// [`MemberLinear::new`] with weights drawn by `init`, and a bias of 0 unless that is [`Init::Linear`].
    pub fn with_init(
        name: &str,
        (inputs, outputs): (i64, i64),
        members: Option<i64>,
        init: Init,
        layout: &mut ParamLayout,
    ) -> Self {
        let weight = MemberLinear::weight(name, inputs, outputs, members, init, layout);
        let shape = match members {
            None => vec![outputs],
            Some(members) => vec![members, 1, outputs],
        };
        let of_bias = match init {
            Init::Linear { .. } => init,
            _ => Init::Constant(0.0),
        };
        MemberLinear {
            weight,
            bias: Some(layout.add(format!("{name}.bias"), &shape, of_bias)),
            inputs,
            outputs,
            members,
        }
    }

    /// A layer without a bias.
    pub fn without_bias(name: &str, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let init = Init::Linear { fan_in: inputs };
        MemberLinear {
            weight: MemberLinear::weight(name, inputs, outputs, members, init, layout),
            bias: None,
            inputs,
            outputs,
            members,
        }
    }

    fn weight(
        name: &str,
        inputs: i64,
        outputs: i64,
        members: Option<i64>,
        init: Init,
        layout: &mut ParamLayout,
    ) -> ParamIndex {
        let shape: Vec<i64> = members.into_iter().chain([inputs, outputs]).collect();
        layout.add(format!("{name}.weight"), &shape, init)
    }

    /// Keeps the weights of every output at norm 1 over its inputs.
    #[must_use]
    pub fn with_unit_weights(self, layout: &mut ParamLayout) -> Self {
        layout.keep_unit_inputs(self.weight);
        self
    }

    /// The input `[B, in]` of all members: `[E, B, in]` of an ensemble. `params` may be those of some members only.
    pub fn for_members(&self, params: &Params, x: &Tensor) -> Tensor {
        match self.members {
            None => x.shallow_clone(),
            Some(_) => x.unsqueeze(0).expand([params[self.weight].size()[0], -1, -1], false),
        }
    }

    /// The outputs at `x`, `[B, in]` or `[E, B, in]`.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let weight = &params[self.weight];
        // A product that accumulates into its output is slower, so the bias is added afterwards.
        let mut out = match self.members {
            None => x.mm(weight),
            // A batched product with one output column takes ten times as long as this sum.
            Some(_) if self.outputs == 1 => {
                (x * weight.transpose(1, 2)).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float) // [E, B, 1]
            }
            Some(_) => x.bmm(weight),
        };
        if let Some(bias) = self.bias {
            out += &params[bias];
        }
        out
    }

    /// Adds the layer of a single network to a graph: `[…, out]` of `[…, in]`.
    ///
    /// # Errors
    /// When a parameter is not finite.
    pub fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let linear = Op::Linear {
            weight: tracer.param(self.weight)?,
            bias: self.bias.map(|bias| tracer.param(bias)).transpose()?,
        };
        tracer.add(linear, &[x])
    }

    /// Records hidden units `x` of a network that this layer belongs to.
    pub fn record(&self, x: &Tensor, activations: &mut Activations) {
        match self.members {
            None => activations.units(x),
            Some(_) => activations.members(x),
        }
    }

    /// The index of the weight, and of the bias if there is one.
    pub(crate) fn params(&self) -> (ParamIndex, Option<ParamIndex>) {
        (self.weight, self.bias)
    }

    /// Numbers of inputs and outputs.
    pub fn extents(&self) -> (i64, i64) {
        (self.inputs, self.outputs)
    }

    /// E, the number of members; 1 of a single network.
    pub fn members(&self) -> i64 {
        self.members.unwrap_or(1)
    }

    /// Whether this is a layer of a single network, whose outputs have no member dimension.
    pub(crate) fn is_single(&self) -> bool {
        self.members.is_none()
    }

    /// Multiply-adds of all members for one row.
    pub fn multiply_adds(&self) -> i64 {
        self.inputs * self.outputs * self.members()
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
