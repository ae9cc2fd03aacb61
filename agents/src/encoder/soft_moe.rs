//! The soft mixture of experts, a mixer of tokens: [`SoftMoe`].
//!
//! Sources: Puigcerver et al. 2023, "From Sparse to Soft Mixtures of Experts" (arXiv 2308.00951), for the layer;
//! Obando-Ceron et al. 2024 (arXiv 2402.08609), for its use in reinforcement learning.
//!
//! | Paper | Code | Shape |
//! |---|---|---|
//! | X | `tokens` | `[B, m, d]` |
//! | Φ | `phi` | `[d, S]`, S = n·p |
//! | s | `scale` | `[1]`, with normalisation |
//! | D | `dispatch` | `[B, m, S]`, columns sum to one |
//! | C | `combine` | `[B, m, S]`, rows sum to one |
//! | X̃ = Dᵀ X | `slots` | `[B, S, d]` |
//! | f_e | `layers` | weights `[n, in, out]` |
//! | Y = C Ỹ | | `[B, m, d]` |
//!
//! Each layer of all experts is one batched matrix product; dispatch and combine are one product each.

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Kind, Tensor};

use crate::{
    error::Result,
    nn::{Activations, Init, ParamIndex, ParamLayout, Params, Tracer},
    noise::Stream,
    spec_problems::SpecProblems,
};

/// Added to squared norms before the square root. Reference: 1e-6.
const LENGTH_EPS: f64 = 1e-6;

/// Settings of a soft mixture of experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftMoeSpec {
    /// n, the number of experts, at least 1. Obando-Ceron et al.: 4 in Rainbow, 8 in DQN. Sokar et al. 2025: one wide
    /// expert performs as well.
    pub experts: i64,
    /// p, the number of slots per expert. Sokar et al.: one slot loses little performance.
    pub slots_per_expert: Slots,
    /// Whether tokens and Φ are divided by their norms before the logits. Puigcerver et al.: they are; Obando-Ceron et
    /// al., whose code is Dopamine's: they are not.
    pub normalize: bool,
    /// Hidden units of each expert, per layer. Obando-Ceron et al.: 512.
    pub expert_width: i64,
    /// Hidden layers of each expert, with ReLU; the output is linear. Obando-Ceron et al.: 1.
    pub expert_depth: i64,
    /// Standard deviation of noise on the logits. For critics only. Like dropout, it is active whenever a loss or a
    /// target is computed. Reference: 0.
    pub logit_noise: f64,
}

impl Default for SoftMoeSpec {
    fn default() -> Self {
        SoftMoeSpec {
            experts: 4,
            slots_per_expert: Slots::Count(1),
            normalize: true,
            expert_width: 128,
            expert_depth: 1,
            logit_noise: 0.0,
        }
    }
}

/// The number of slots of an expert: a number, or `"by_tokens"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// So many, at least 1.
    Count(i64),
    /// The number of tokens divided by the number of experts, rounded up, so that there are as many slots as tokens
    /// (Dopamine's default).
    ByTokens,
}

impl Slots {
    /// The number for `tokens` tokens and `experts` experts.
    fn count(self, tokens: i64, experts: i64) -> i64 {
        match self {
            Slots::Count(count) => count,
            Slots::ByTokens => (tokens + experts - 1) / experts,
        }
    }
}

const BY_TOKENS: &str = "by_tokens";

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Slots::Count(count) => count.serialize(serializer),
            Slots::ByTokens => BY_TOKENS.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(count) => Ok(Slots::Count(count)),
            toml::Value::String(word) if word == BY_TOKENS => Ok(Slots::ByTokens),
            _ => Err(serde::de::Error::custom("expected a whole number or \"by_tokens\"")),
        }
    }
}

impl SoftMoeSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let slots_per_expert = match self.slots_per_expert {
            Slots::Count(count) => count,
            Slots::ByTokens => 1,
        };
        let limits = [
            ("experts", self.experts, 1024),
            ("slots_per_expert", slots_per_expert, 4096),
            ("expert_width", self.expert_width, 65_536),
            ("expert_depth", self.expert_depth, 64),
        ];
        for (key, value, max) in limits {
            let key = format!("agent.encoder.mixer.{key}");
            p.require((1..=max).contains(&value), &key, value, &format!("between 1 and {max}"));
        }
        p.require_not_negative("agent.encoder.mixer.logit_noise", self.logit_noise);
    }
}

struct Layer {
    weight: ParamIndex,
    bias: ParamIndex,
}

/// A soft mixture of experts over tokens.
pub struct SoftMoe {
    phi: ParamIndex,
    /// With normalisation.
    scale: Option<ParamIndex>,
    layers: Vec<Layer>,
    spec: SoftMoeSpec,
    /// p.
    slots_per_expert: i64,
    width: i64,
}

impl SoftMoe {
    /// A mixture for `tokens` tokens of `width` numbers. Adds `encoder.mixer.phi [d, S]`, with normalisation `.scale
    /// [1]`, and for each layer of the experts `.{i}.weight [n, in, out]` and `.{i}.bias [n, 1, out]` to `layout`.
    pub fn new(spec: &SoftMoeSpec, tokens: i64, width: i64, layout: &mut ParamLayout) -> Self {
        let experts = spec.experts;
        let slots_per_expert = spec.slots_per_expert.count(tokens, experts);
        let slots = experts * slots_per_expert;
        // If Φ is normalised, only the direction of the initial values matters.
        let phi = layout.add("encoder.mixer.phi", &[width, slots], Init::Linear { fan_in: width });
        let scale = spec
            .normalize
            .then(|| layout.add("encoder.mixer.scale", &[1], Init::Constant(1.0)));
        let mut fan_in = width;
        let mut layer = |index: i64| {
            let out = match index == spec.expert_depth {
                true => width,
                false => spec.expert_width,
            };
            let init = Init::Linear { fan_in };
            let name = |part: &str| format!("encoder.mixer.{index}.{part}");
            let layer = Layer {
                weight: layout.add(name("weight"), &[experts, fan_in, out], init),
                bias: layout.add(name("bias"), &[experts, 1, out], init),
            };
            fan_in = out;
            layer
        };
        SoftMoe {
            phi,
            scale,
            layers: (0..=spec.expert_depth).map(&mut layer).collect(),
            spec: spec.clone(),
            slots_per_expert,
            width,
        }
    }

    /// The dispatch and combine weights, `[B, m, S]` each, for `tokens [B, m, d]`.
    ///
    /// Source: Puigcerver et al., equations 1 and 3, and the normalisation of section 2.3 if it is on.
    pub fn weights(&self, params: &Params, tokens: &Tensor, stream: Option<&mut Stream>) -> (Tensor, Tensor) {
        let phi = &params[self.phi]; // [d, S]
        let mut logits = match self.scale {
            Some(scale) => normalized(tokens, -1).matmul(&(normalized(phi, 0) * &params[scale])), // [B, m, S]
            None => tokens.matmul(phi),
        };
        if let Some(stream) = stream
            && self.spec.logit_noise > 0.0
        {
            logits += stream.normal(&logits.size(), logits.device()) * self.spec.logit_noise;
        }
        (logits.softmax(1, Kind::Float), logits.softmax(2, Kind::Float))
    }

    /// The mixed tokens `[B, m, d]` of `tokens [B, m, d]`.
    pub fn forward(&self, params: &Params, tokens: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        self.pass(params, tokens, stream, None)
    }

    /// [`SoftMoe::forward`], which records weights and hidden activations.
    pub(super) fn pass(
        &self,
        params: &Params,
        tokens: &Tensor,
        stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let (dispatch, combine) = self.weights(params, tokens, stream);
        if let Some(activations) = &mut activations {
            let routing = (dispatch.shallow_clone(), combine.shallow_clone(), self.slots_per_expert);
            activations.routing = Some(routing);
        }
        let slots = dispatch.transpose(1, 2).matmul(tokens); // [B, S, d], of tokens that are not normalised
        combine.matmul(&self.experts(params, &slots, activations))
    }

    /// Applies each expert to its slots: `[B, S, d]` to `[B, S, d]`.
    fn experts(&self, params: &Params, slots: &Tensor, mut activations: Option<&mut Activations>) -> Tensor {
        let (experts, per_expert) = (self.spec.experts, self.slots_per_expert);
        let by_expert = slots.view([-1, experts, per_expert, self.width]).transpose(0, 1); // [n, B, p, d]
        let mut x = by_expert.reshape([experts, -1, self.width]); // [n, B·p, d]
        for (index, layer) in self.layers.iter().enumerate() {
            x = x.bmm(&params[layer.weight]) + &params[layer.bias];
            if index + 1 < self.layers.len() {
                x = x.relu();
                if let Some(activations) = &mut activations {
                    activations.experts(&x);
                }
            }
        }
        x.view([experts, -1, per_expert, self.width])
            .transpose(0, 1)
            .flatten(1, 2)
    }

    /// Adds the mixture to a graph, without noise: `[m, d]` to `[m, d]`.
    pub(super) fn trace(&self, tracer: &mut Tracer, tokens: Value) -> Result<Value> {
        let (logits_of, weight) = match self.scale {
            None => (tokens, tracer.param(self.phi)?),
            Some(scale) => {
                let eps = LENGTH_EPS as f32;
                // Φ does not depend on the tokens, so the graph holds the normalised one.
                let phi = normalized(tracer.values(self.phi), 0) * tracer.values(scale);
                let name = format!("{}.normalized", tracer.name(self.phi));
                let weight = tracer.tensor(&name, &phi)?;
                (tracer.add(Op::UnitNorm { eps }, &[tokens])?, weight)
            }
        };
        let logits = tracer.add(Op::Linear { weight, bias: None }, &[logits_of])?; // [m, S]
        let dispatch = tracer.add(Op::Softmax { axis: 0 }, &[logits])?;
        let combine = tracer.add(Op::Softmax { axis: 1 }, &[logits])?;
        let dispatch = tracer.transpose(dispatch, 0, 1)?; // [S, m]
        let slots = tracer.add(Op::MatMul, &[dispatch, tokens])?; // [S, d]
        let (experts, per_expert) = (self.spec.experts as usize, self.slots_per_expert as usize);
        let width = self.width as usize;
        let mut x = tracer.reshape(slots, &[experts, per_expert, width])?;
        for (index, layer) in self.layers.iter().enumerate() {
            let op = Op::Experts {
                weight: tracer.param(layer.weight)?,
                bias: tracer.param(layer.bias)?,
            };
            x = tracer.add(op, &[x])?;
            if index + 1 < self.layers.len() {
                x = tracer.add(Op::Activate(Activation::Relu), &[x])?;
            }
        }
        let slots = tracer.reshape(x, &[experts * per_expert, width])?;
        tracer.add(Op::MatMul, &[combine, slots])
    }

    /// Multiply-adds for one sample with `tokens` tokens.
    pub fn multiply_adds(&self, tokens: i64) -> i64 {
        let SoftMoeSpec {
            experts,
            expert_width: hidden,
            expert_depth: depth,
            ..
        } = self.spec;
        let slots = experts * self.slots_per_expert;
        let routing = 3 * tokens * slots * self.width; // logits, dispatch, combine
        routing + slots * (2 * self.width * hidden + (depth - 1) * hidden * hidden)
    }
}

/// `x` divided by its norm along `dim`.
fn normalized(x: &Tensor, dim: i64) -> Tensor {
    let squared = x.square().sum_dim_intlist([dim].as_slice(), true, Kind::Float);
    x / (squared + LENGTH_EPS).sqrt()
}
