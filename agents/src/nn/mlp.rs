//! The multi-layer perceptron that policies and critics share: [`BodySpec`], [`Body`], [`Mlp`].

use sac_kernels::Activation;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Activations, activation,
    layout::{Init, ParamIndex, ParamLayout},
    params::Params,
};
use crate::{noise::Stream, spec_problems::SpecProblems};

/// Hidden layers of a network. Default: two layers of 256 with ReLU (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodySpec {
    /// Units per hidden layer.
    pub hidden: Vec<i64>,
    /// Between layers; the output is linear.
    pub activation: Activation,
    /// Layer normalisation of each hidden layer before its activation (Ba et al. 2016), with a learned gain and shift.
    pub layer_norm: bool,
    /// Probability that a unit of a hidden layer is dropped, in [0, 1), before the normalisation. Critics only; it is
    /// active in every pass that learns or makes a target (Hiraoka et al. 2022, DroQ).
    pub dropout: f64,
}

impl Default for BodySpec {
    fn default() -> Self {
        BodySpec {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            layer_norm: false,
            dropout: 0.0,
        }
    }
}

impl BodySpec {
    /// Notes values that are out of their range, for the body at `key`.
    pub(crate) fn check(&self, p: &mut SpecProblems, key: &str) {
        p.require(
            self.hidden.iter().all(|width| (1..=65_536).contains(width)),
            &format!("{key}.hidden"),
            format!("{:?}", self.hidden),
            "every width between 1 and 65536",
        );
        p.require(
            (0.0..1.0).contains(&self.dropout),
            &format!("{key}.dropout"),
            self.dropout,
            "at least 0 and below 1",
        );
    }
}

/// A network body: hidden layers and a linear output, for one network or for `E` side by side.
///
/// [`Mlp`] is the definition. Another implementation may compute the same faster ([`crate::fused::Perceptron`]); which one
/// a network has is decided when it is built.
pub trait Body: Send {
    /// The outputs at `x [B, in]`: `[B, out]`, or `[E, B, out]` of an ensemble. With a `stream`, dropout is active.
    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor;

    /// `value_of` the outputs at `x [B, in]`: one number per row `[B]`, made of that row alone. Gradients reach `x`.
    fn value(&self, params: &Params, x: &Tensor, stream: &mut Stream, value_of: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
        value_of(&self.forward(params, x, Some(stream)))
    }

    /// The outputs for acting, in `f32` whatever the precision of learning.
    fn act(&self, params: &Params, x: &Tensor) -> Tensor {
        self.forward(params, x, None)
    }

    /// Its layers.
    fn mlp(&self) -> &Mlp;
}

/// Added to the variance of a normalised layer; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Where the parameters of a layer lie, and its extents.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) weight: ParamIndex,
    pub(crate) bias: ParamIndex,
    /// Gain and shift.
    norm: Option<(ParamIndex, ParamIndex)>,
    pub(crate) inputs: i64,
    pub(crate) outputs: i64,
}

/// A perceptron, or `E` of them side by side with weights `[E, in, out]`, through libtorch.
#[derive(Clone, Debug)]
pub struct Mlp {
    pub(crate) layers: Vec<Layer>,
    pub(crate) activation: Activation,
    dropout: f64,
    /// E, of an ensemble.
    pub(crate) members: Option<i64>,
}

impl Mlp {
    /// One network. Adds `weight [in, out]` and `bias [out]` per layer to `layout`, with `layer_norm` also `gain [out]`
    /// and `shift [out]` per hidden layer.
    pub fn single(spec: &BodySpec, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, None, layout)
    }

    /// `members` independent networks: the same parameters with shapes `[E, in, out]` and `[E, 1, out]`.
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
            let linear = Init::Linear { fan_in };
            let mut add = |name: &str, shape: &[i64], init| layout.add(format!("body.{index}.{name}"), shape, init);
            layers.push(Layer {
                weight: add("weight", &weight_shape, linear),
                bias: add("bias", &bias_shape, linear),
                norm: (spec.layer_norm && index < spec.hidden.len()).then(|| {
                    let gain = add("gain", &bias_shape, Init::Constant(1.0));
                    (gain, add("shift", &bias_shape, Init::Constant(0.0)))
                }),
                inputs: fan_in,
                outputs: *width,
            });
            fan_in = *width;
        }
        Mlp {
            layers,
            activation: spec.activation,
            dropout: spec.dropout,
            members,
        }
    }

    /// Multiply-adds for one sample, of all members together.
    pub fn multiply_adds(&self) -> i64 {
        let of_one: i64 = self.layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
        of_one * self.members.unwrap_or(1)
    }

    /// Whether there is nothing but linear layers and activations.
    pub fn is_plain(&self) -> bool {
        self.dropout == 0.0 && self.layers.iter().all(|layer| layer.norm.is_none())
    }

    /// Records what hidden units do with `x [B, in]`, and what the last layer reads. Nothing is dropped.
    pub fn inspect(&self, params: &Params, x: &Tensor, activations: &mut Activations) {
        drop(self.pass(params, x, None, Some(activations)));
    }

    /// The same parameters with the members `chosen` `[M]` only, in that order.
    pub fn of_members(&self, params: &Params, chosen: &Tensor) -> Params {
        let is_own = |index: ParamIndex| {
            self.layers.iter().any(|layer| {
                let (gain, shift) = layer.norm.unzip();
                [Some(layer.weight), Some(layer.bias), gain, shift].contains(&Some(index))
            })
        };
        params.map(|index, param| match is_own(index) {
            true => param.index_select(0, chosen),
            false => param.shallow_clone(),
        })
    }

    fn pass(
        &self,
        params: &Params,
        x: &Tensor,
        mut stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let last = self.layers.len() - 1;
        let mut x = match self.members {
            None => x.shallow_clone(),
            // As many as the parameters have, which may be some of all.
            Some(_) => {
                let members = params[self.layers[0].weight].size()[0];
                x.unsqueeze(0).expand([members, -1, -1], false) // [E, B, in]
            }
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (&params[layer.weight], &params[layer.bias]);
            if let (Some(activations), true) = (&mut activations, index == last) {
                activations.features = Some(x.shallow_clone());
            }
            // Product first, bias after: a product that adds to its output is slower.
            x = match self.members {
                None => x.mm(weight),
                // Batched products into a single column take ten times as long as the same sums written out.
                Some(_) if layer.outputs == 1 => {
                    (x * weight.transpose(1, 2)).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float) // [E, B, 1]
                }
                Some(_) => x.bmm(weight),
            };
            x += bias;
            if index == last {
                break;
            }
            if let (Some(stream), true) = (&mut stream, self.dropout > 0.0) {
                x *= stream.kept_units(&x.size(), self.dropout, x.device());
            }
            if let Some((gain, shift)) = layer.norm {
                let normed = x.layer_norm::<Tensor>([layer.outputs], None, None, LAYER_NORM_EPS, false);
                x = normed * &params[gain];
                x += &params[shift];
            }
            x = activation::apply(self.activation, x);
            match (&mut activations, self.members) {
                (None, _) => {}
                (Some(activations), None) => activations.units(&x),
                (Some(activations), Some(_)) => activations.members(&x),
            }
        }
        x
    }
}

impl Body for Mlp {
    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        self.pass(params, x, stream, None)
    }

    fn mlp(&self) -> &Mlp {
        self
    }
}
