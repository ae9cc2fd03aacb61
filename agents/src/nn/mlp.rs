//! The multi-layer perceptron: [`MlpSpec`], [`Mlp`].

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Activations, activation,
    body::{Body, MOST_LAYERS, Operation, WIDTHS},
    layout::{InitialWeights, ParamLayout},
    linear::MemberLinear,
    norm::{BatchNorm, BatchNormSpec, MemberLayerNorm, NormPosition},
    params::Params,
    tracer::Tracer,
};
use crate::{error::Result, noise::Stream, spec_problems::SpecProblems};

/// Settings of a multi-layer perceptron. Default: two hidden layers of 256 with ReLU (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlpSpec {
    /// Units per hidden layer.
    pub hidden: Vec<i64>,
    /// Activation of the hidden layers; the output is linear.
    pub activation: Activation,
    /// Layer normalisation of each hidden layer before its activation (Ba et al. 2016), with a learned gain and shift.
    pub layer_norm: bool,
    /// Dropout probability of hidden units, in [0, 1), applied before the normalisation. For critics only. Dropout is
    /// active whenever a loss or a target is computed (Hiraoka et al. 2022, DroQ).
    pub dropout: f64,
    /// Batch normalisation of the inputs and of each hidden layer, with a learned gain and shift (Bhatt et al. 2024,
    /// CrossQ).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<BatchNormSpec>,
    /// Whether the weights of every unit, and of every output, have norm 1 over its inputs after every step of the
    /// optimiser (Palenicek et al. 2025, XQC).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unit_weights: bool,
    /// Initialisation of all layers.
    #[serde(skip_serializing_if = "InitialWeights::is_uniform")]
    pub initial_weights: InitialWeights,
}

impl Default for MlpSpec {
    fn default() -> Self {
        MlpSpec {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            layer_norm: false,
            dropout: 0.0,
            batch_norm: None,
            unit_weights: false,
            initial_weights: InitialWeights::Uniform,
        }
    }
}

impl MlpSpec {
    /// Reports values that are out of range, for the body at `key`.
    pub(super) fn check(&self, p: &mut SpecProblems, key: &str) {
        p.require(
            self.hidden.len() <= MOST_LAYERS,
            &format!("{key}.hidden"),
            format!("a list of {}", self.hidden.len()),
            &format!("at most {MOST_LAYERS} layers"),
        );
        p.require(
            self.hidden.iter().all(|width| WIDTHS.contains(width)),
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
        if let Some(norm) = self.batch_norm {
            norm.check(p, &format!("{key}.batch_norm"));
        }
    }
}

/// Added to the variance of a normalised layer; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// A hidden layer.
#[derive(Clone, Debug)]
struct Hidden {
    linear: MemberLinear,
    layer_norm: Option<MemberLayerNorm>,
    batch_norm: Option<(BatchNorm, NormPosition)>,
}

/// A multi-layer perceptron, or an ensemble of `E`, through libtorch.
#[derive(Clone, Debug)]
pub struct Mlp {
    input_norm: Option<BatchNorm>,
    hidden: Vec<Hidden>,
    output: MemberLinear,
    activation: Activation,
    dropout: f64,
}

impl Mlp {
    /// A single network, or an ensemble of `members` independent networks. Adds weight and bias of every layer, and
    /// gain and shift of every normalisation, to `layout`.
    pub fn new(spec: &MlpSpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        layout.with_initial_weights(spec.initial_weights, |layout| {
            Mlp::add_layers(spec, inputs, outputs, members, layout)
        })
    }

    fn add_layers(spec: &MlpSpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let batch_norm = |name: &str, width, layout: &mut ParamLayout| {
            let spec = spec.batch_norm?;
            Some(BatchNorm::new(name, spec, width, members, layout))
        };
        let constrained = |linear: MemberLinear, layout: &mut ParamLayout| match spec.unit_weights {
            true => linear.with_unit_weights(layout),
            false => linear,
        };
        let input_norm = batch_norm("body.input.norm", inputs, layout);
        // A normalisation over the batch takes away what a bias before it adds.
        let position = spec.batch_norm.map(|norm| norm.position);
        let has_bias = position != Some(NormPosition::BeforeActivation);
        let mut hidden = Vec::new();
        let mut fan_in = inputs;
        for (index, width) in spec.hidden.iter().enumerate() {
            let name = format!("body.{index}");
            let linear = match has_bias {
                true => MemberLinear::new(&name, fan_in, *width, members, layout),
                false => MemberLinear::without_bias(&name, fan_in, *width, members, layout),
            };
            hidden.push(Hidden {
                linear: constrained(linear, layout),
                layer_norm: spec
                    .layer_norm
                    .then(|| MemberLayerNorm::new(&name, LAYER_NORM_EPS, *width, members, layout)),
                batch_norm: batch_norm(&format!("{name}.norm"), *width, layout).zip(position),
            });
            fan_in = *width;
        }
        let output = MemberLinear::new(&format!("body.{}", spec.hidden.len()), fan_in, outputs, members, layout);
        Mlp {
            input_norm,
            hidden,
            output: constrained(output, layout),
            activation: spec.activation,
            dropout: spec.dropout,
        }
    }
}

impl Body for Mlp {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        mut stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let mut x = self.output.for_members(params, x); // [B, in] or [E, B, in]
        if let Some(norm) = &self.input_norm {
            x = norm.forward(params, &x);
        }
        for hidden in &self.hidden {
            x = hidden.linear.forward(params, &x);
            if let (Some(stream), true) = (&mut stream, self.dropout > 0.0) {
                x *= stream.dropout_mask(&x.size(), self.dropout, x.device());
            }
            if let Some(norm) = &hidden.layer_norm {
                x = norm.forward(params, &x);
            }
            if let Some((norm, NormPosition::BeforeActivation)) = &hidden.batch_norm {
                x = norm.forward(params, &x);
            }
            x = activation::apply(self.activation, x);
            if let Some(activations) = &mut activations {
                self.output.record(&x, activations);
            }
            if let Some((norm, NormPosition::AfterActivation)) = &hidden.batch_norm {
                x = norm.forward(params, &x);
            }
        }
        x
    }

    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor {
        self.output.forward(params, features)
    }

    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let mut x = x;
        if let Some(norm) = &self.input_norm {
            x = norm.trace(tracer, x)?;
        }
        for hidden in &self.hidden {
            x = hidden.linear.trace(tracer, x)?;
            if let Some(norm) = &hidden.layer_norm {
                x = norm.trace(tracer, x)?;
            }
            if let Some((norm, NormPosition::BeforeActivation)) = &hidden.batch_norm {
                x = norm.trace(tracer, x)?;
            }
            x = tracer.add(Op::Activate(self.activation), &[x])?;
            if let Some((norm, NormPosition::AfterActivation)) = &hidden.batch_norm {
                x = norm.trace(tracer, x)?;
            }
        }
        Ok(x)
    }

    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        self.output.trace(tracer, features)
    }

    fn linear_layers(&self) -> Vec<&MemberLinear> {
        let hidden = self.hidden.iter().map(|hidden| &hidden.linear);
        hidden.chain([&self.output]).collect()
    }

    fn normalizes_by_batch(&self) -> bool {
        self.input_norm.is_some()
    }

    fn operations(&self) -> Option<Vec<Operation<'_>>> {
        let mut operations = Vec::new();
        operations.extend(self.input_norm.as_ref().map(Operation::BatchNorm));
        for hidden in &self.hidden {
            operations.push(Operation::Linear(&hidden.linear));
            operations.extend((self.dropout > 0.0).then_some(Operation::Dropout(self.dropout)));
            operations.extend(hidden.layer_norm.as_ref().map(Operation::LayerNorm));
            let batch_norm = |wanted| match &hidden.batch_norm {
                Some((norm, position)) if *position == wanted => Some(Operation::BatchNorm(norm)),
                _ => None,
            };
            operations.extend(batch_norm(NormPosition::BeforeActivation));
            operations.push(Operation::Activate(self.activation));
            operations.extend(batch_norm(NormPosition::AfterActivation));
        }
        operations.push(Operation::Linear(&self.output));
        Some(operations)
    }
}
