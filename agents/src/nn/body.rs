//! The multi-layer perceptron that policies and critics share: [`BodySpec`], [`Mlp`].

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::nn::params::{ParamIndex, ParamLayout, Params};

/// Non-linearity between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x·Φ(x), the exact form.
    Gelu,
    /// x·sigmoid(x).
    Silu,
    /// tanh(x).
    Tanh,
    /// x for x > 0, eˣ − 1 otherwise.
    Elu,
}

impl Activation {
    fn apply(self, x: Tensor) -> Tensor {
        let mut x = x;
        match self {
            Activation::Relu => x.relu_(),
            Activation::Gelu => x.gelu("none"),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh_(),
            Activation::Elu => x.elu(),
        }
    }
}

/// Hidden layers of a network. Default: two layers of 256 with ReLU (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodySpec {
    /// Units per hidden layer.
    pub hidden: Vec<i64>,
    /// Between layers; the output is linear.
    pub activation: Activation,
}

impl Default for BodySpec {
    fn default() -> Self {
        BodySpec {
            hidden: vec![256, 256],
            activation: Activation::Relu,
        }
    }
}

struct Layer {
    weight: ParamIndex,
    bias: ParamIndex,
    outputs: i64,
}

/// A perceptron, or `E` of them side by side with weights `[E, in, out]`.
pub struct Mlp {
    layers: Vec<Layer>,
    activation: Activation,
    members: Option<i64>,
}

impl Mlp {
    /// One network. Adds `weight [in, out]` and `bias [out]` per layer to `layout`.
    pub fn single(spec: &BodySpec, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, None, layout)
    }

    /// `members` independent networks. Adds `weight [E, in, out]` and `bias [E, 1, out]` per layer to `layout`.
    pub fn ensemble(spec: &BodySpec, inputs: i64, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, Some(members), layout)
    }

    fn build(spec: &BodySpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let mut layers = Vec::new();
        let mut fan_in = inputs;
        for (index, width) in spec.hidden.iter().chain([&outputs]).enumerate() {
            let (weight_shape, bias_shape) = match members {
                None => (vec![fan_in, *width], vec![*width]),
                Some(members) => (vec![members, fan_in, *width], vec![members, 1, *width]),
            };
            layers.push(Layer {
                weight: layout.add(format!("body.{index}.weight"), &weight_shape, fan_in),
                bias: layout.add(format!("body.{index}.bias"), &bias_shape, fan_in),
                outputs: *width,
            });
            fan_in = *width;
        }
        Mlp {
            layers,
            activation: spec.activation,
            members,
        }
    }

    /// `x [B, in]` to `[B, out]`, or to `[E, B, out]` for an ensemble.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let last = self.layers.len() - 1;
        let mut x = match self.members {
            None => x.shallow_clone(),
            Some(members) => x.unsqueeze(0).expand([members, -1, -1], false), // [E, B, in]
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (&params[layer.weight], &params[layer.bias]);
            // Product first, bias after: a product that adds to its output is slower (docs/performance.md).
            x = match self.members {
                None => x.mm(weight),
                // Batched products into a single column take ten times as long as the same sums written out.
                Some(_) if layer.outputs == 1 => {
                    (x * weight.transpose(1, 2)).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float) // [E, B, 1]
                }
                Some(_) => x.bmm(weight),
            };
            x += bias;
            if index != last {
                x = self.activation.apply(x);
            }
        }
        x
    }
}
