//! The multi-layer perceptron that policies and critics share: [`BodySpec`], [`Body`], [`Mlp`].

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Activations, activation,
    layout::{Init, InitialWeights, ParamIndex, ParamLayout},
    params::Params,
    tracer::Tracer,
};
use crate::{error::Result, noise::Stream, spec_problems::SpecProblems};

/// Hidden layers of a network. Default: two layers of 256 with ReLU (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodySpec {
    /// Units per hidden layer.
    pub hidden: Vec<i64>,
    /// Activation of the hidden layers; the output is linear.
    pub activation: Activation,
    /// Layer normalisation of each hidden layer before its activation (Ba et al. 2016), with a learned gain and shift.
    pub layer_norm: bool,
    /// Dropout probability of hidden units, in [0, 1), applied before the normalisation. For critics only. Dropout is
    /// active whenever a loss or a target is computed (Hiraoka et al. 2022, DroQ).
    pub dropout: f64,
    /// Initialisation of all layers.
    #[serde(skip_serializing_if = "InitialWeights::is_uniform")]
    pub initial_weights: InitialWeights,
}

impl Default for BodySpec {
    fn default() -> Self {
        BodySpec {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            layer_norm: false,
            dropout: 0.0,
            initial_weights: InitialWeights::Uniform,
        }
    }
}

/// Upper limit of hidden layers, far beyond use.
const MOST_LAYERS: usize = 64;

impl BodySpec {
    /// Reports values that are out of range, for the body at `key`.
    pub(crate) fn check(&self, p: &mut SpecProblems, key: &str) {
        p.require(
            self.hidden.len() <= MOST_LAYERS,
            &format!("{key}.hidden"),
            format!("a list of {}", self.hidden.len()),
            &format!("at most {MOST_LAYERS} layers"),
        );
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

/// A network body: hidden layers and a linear output, for one network or an ensemble of `E`.
///
/// [`Mlp`] is the definition. [`crate::fused::Perceptron`] computes the same faster. The implementation is chosen when
/// the network is built.
pub trait Body: Send {
    /// The outputs at `x [B, in]`: `[B, out]`, or `[E, B, out]` of an ensemble. With a `stream`, dropout is active.
    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor;

    /// Applies `value_of` to the outputs at `x [B, in]`. It returns one number per row, `[B]`, that depends on that row
    /// alone. Gradients reach `x`.
    fn value(&self, params: &Params, x: &Tensor, stream: &mut Stream, value_of: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
        value_of(&self.forward(params, x, Some(stream)))
    }

    /// The outputs at `x [B, in]` for acting, always in `f32`.
    fn act(&self, params: &Params, x: &Tensor) -> Tensor {
        self.forward(params, x, None)
    }

    /// Adds a single network to a graph: its outputs `[out]` at `x [in]`, without dropout.
    ///
    /// # Errors
    /// When a parameter is not finite.
    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value>;

    /// The layers.
    fn mlp(&self) -> &Mlp;
}

/// Added to the variance of a normalised layer; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Parameters and extents of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) weight: ParamIndex,
    pub(crate) bias: ParamIndex,
    /// Gain and shift.
    norm: Option<(ParamIndex, ParamIndex)>,
    pub(crate) inputs: i64,
    pub(crate) outputs: i64,
}

/// A multi-layer perceptron, or an ensemble of `E` with weights `[E, in, out]`, through libtorch.
#[derive(Clone, Debug)]
pub struct Mlp {
    pub(crate) layers: Vec<Layer>,
    pub(crate) activation: Activation,
    dropout: f64,
    /// E; `None` for a single network.
    pub(crate) members: Option<i64>,
}

impl Mlp {
    /// A single network. Adds `weight [in, out]` and `bias [out]` of every layer to `layout`, and with `layer_norm`
    /// also `gain [out]` and `shift [out]` of every hidden layer.
    pub fn single(spec: &BodySpec, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, None, layout)
    }

    /// An ensemble of `members` independent networks. Adds the parameters of [`Mlp::single`] with the shapes
    /// `[E, in, out]` and `[E, 1, out]`.
    pub fn ensemble(spec: &BodySpec, inputs: i64, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, Some(members), layout)
    }

    fn build(spec: &BodySpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        layout.with_initial_weights(spec.initial_weights, |layout| {
            Mlp::add_layers(spec, inputs, outputs, members, layout)
        })
    }

    fn add_layers(spec: &BodySpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
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

    /// Multiply-adds of all members for one sample.
    pub fn multiply_adds(&self) -> i64 {
        let of_one: i64 = self.layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
        of_one * self.members.unwrap_or(1)
    }

    /// Whether the network consists of linear layers and activations only.
    pub fn is_plain(&self) -> bool {
        self.dropout == 0.0 && self.layers.iter().all(|layer| layer.norm.is_none())
    }

    /// Records the activations of the hidden layers and the features of the last layer at `x [B, in]`, without dropout.
    pub fn inspect(&self, params: &Params, x: &Tensor, activations: &mut Activations) {
        drop(self.pass(params, x, None, Some(activations)));
    }

    /// The parameters of the members `chosen` `[M]`, in that order.
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
            // The parameters may be those of some members only.
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
            // A product that accumulates into its output is slower, so the bias is added afterwards.
            x = match self.members {
                None => x.mm(weight),
                // A batched product with one output column takes ten times as long as this sum.
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
                x *= stream.dropout_mask(&x.size(), self.dropout, x.device());
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

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let mut x = x;
        for (index, layer) in self.layers.iter().enumerate() {
            let linear = Op::Linear {
                weight: tracer.param(layer.weight)?,
                bias: Some(tracer.param(layer.bias)?),
            };
            x = tracer.add(linear, &[x])?;
            if index + 1 == self.layers.len() {
                break;
            }
            if let Some((gain, shift)) = layer.norm {
                let norm = Op::LayerNorm {
                    gain: tracer.param(gain)?,
                    shift: tracer.param(shift)?,
                    eps: LAYER_NORM_EPS as f32,
                };
                x = tracer.add(norm, &[x])?;
            }
            x = tracer.add(Op::Activate(self.activation), &[x])?;
        }
        Ok(x)
    }

    fn mlp(&self) -> &Mlp {
        self
    }
}
