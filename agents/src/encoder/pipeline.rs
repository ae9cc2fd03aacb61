//! Encoders made of a tokenizer, a mixer, a pooling and an optional projection: [`Pipeline`].

use sac_kernels::Activation;
use sac_policy::{Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Encoder,
    pooling::{Pooling, PoolingSpec},
    soft_moe::{SoftMoe, SoftMoeSpec},
    token_mlp::{TokenMlp, TokenMlpSpec},
    tokens::Tokenizer,
    transformer::{Transformer, TransformerSpec},
};
use crate::{
    error::Result,
    nn::{Activations, Init, LayerNorm, Linear, ParamIndex, ParamLayout, Params, Tracer},
    noise::Stream,
};

/// Added to the variance of the projection; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// The mixer of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MixerSpec {
    /// No mixer.
    None {},
    /// A perceptron applied to each token separately.
    Mlp(TokenMlpSpec),
    /// A soft mixture of experts.
    SoftMoe(SoftMoeSpec),
    /// Self-attention.
    Transformer(TransformerSpec),
}

impl MixerSpec {
    /// Whether the output for a token depends on the other tokens.
    pub(super) fn mixes(&self) -> bool {
        !matches!(self, MixerSpec::None {} | MixerSpec::Mlp(_))
    }
}

enum Mixer {
    None,
    Mlp(TokenMlp),
    SoftMoe(SoftMoe),
    Transformer(Transformer),
}

/// An encoder made of a tokenizer, a mixer, a pooling and an optional projection.
pub struct Pipeline {
    tokenizer: Tokenizer,
    /// The CLS token `[d]`, which comes before the other tokens.
    cls: Option<ParamIndex>,
    mixer: Mixer,
    pooling: Pooling,
    projection: Option<(Linear, LayerNorm)>,
    tokens: i64,
    width: i64,
}

impl Pipeline {
    /// Makes an encoder. Adds the parameters of mixer, pooling and projection to `layout`; the tokenizer has added its
    /// own.
    pub fn new(
        tokenizer: Tokenizer,
        mixer: &MixerSpec,
        pooling: &PoolingSpec,
        projection: Option<i64>,
        layout: &mut ParamLayout,
    ) -> Self {
        let token_width = tokenizer.width();
        let cls = matches!(pooling, PoolingSpec::Cls {}).then(|| {
            let init = Init::Linear { fan_in: token_width };
            layout.add("encoder.cls", &[token_width], init)
        });
        let tokens = tokenizer.count() + i64::from(cls.is_some());
        let mixer = match mixer {
            MixerSpec::None {} => Mixer::None,
            MixerSpec::Mlp(spec) => Mixer::Mlp(TokenMlp::new(spec, token_width, layout)),
            MixerSpec::SoftMoe(spec) => Mixer::SoftMoe(SoftMoe::new(spec, tokens, token_width, layout)),
            MixerSpec::Transformer(spec) => Mixer::Transformer(Transformer::new(spec, token_width, layout)),
        };
        let pooling = Pooling::new(pooling, token_width, layout);
        let pooled = match pooling {
            Pooling::Flatten => tokens * token_width,
            _ => token_width,
        };
        let projection = projection.map(|features| {
            let linear = Linear::new("encoder.projection", pooled, features, layout);
            let norm = LayerNorm::new("encoder.projection.norm", features, LAYER_NORM_EPS, layout);
            (linear, norm, features)
        });
        Pipeline {
            width: projection.as_ref().map_or(pooled, |(_, _, features)| *features),
            projection: projection.map(|(linear, norm, _)| (linear, norm)),
            tokenizer,
            cls,
            mixer,
            pooling,
            tokens,
        }
    }

    /// The mixed tokens `[B, m, d]`, which are the pooling's input.
    pub fn mixed(&self, params: &Params, obs: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        self.mix(params, obs, stream, None)
    }

    fn mix(
        &self,
        params: &Params,
        obs: &Tensor,
        stream: Option<&mut Stream>,
        mut activations: Option<&mut Activations>,
    ) -> Tensor {
        let mut tokens = self.tokenizer.pass(params, obs, activations.as_deref_mut()); // [B, m, d]
        if let Some(cls) = self.cls {
            let first = params[cls].expand([tokens.size()[0], 1, -1], false);
            tokens = Tensor::cat(&[first, tokens], 1);
        }
        match &self.mixer {
            Mixer::None => tokens,
            Mixer::Mlp(mixer) => mixer.pass(params, &tokens, activations),
            Mixer::SoftMoe(mixer) => mixer.pass(params, &tokens, stream, activations),
            Mixer::Transformer(mixer) => mixer.pass(params, &tokens, activations),
        }
    }

    /// Projects pooled tokens `[B, d]` or `[B, m·d]` to features `[B, F]`.
    fn project(&self, params: &Params, pooled: Tensor) -> Tensor {
        match &self.projection {
            None => pooled,
            Some((linear, norm)) => norm.forward(params, &linear.forward(params, &pooled)).tanh(),
        }
    }
}

impl Encoder for Pipeline {
    fn width(&self) -> i64 {
        self.width
    }

    fn encode(&self, params: &Params, obs: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        let pooled = self.pooling.forward(params, &self.mixed(params, obs, stream));
        self.project(params, pooled)
    }

    fn inspect(&self, params: &Params, obs: &Tensor, activations: &mut Activations) -> Tensor {
        activations.grid = self.tokenizer.grid();
        activations.has_cls = self.cls.is_some();
        let tokens = self.mix(params, obs, None, Some(activations)); // [B, m, d]
        // A CLS token is pooled by the mixer's attention, which the mixer has recorded.
        if !activations.has_cls {
            activations.attention = self.pooling.attention(params, &tokens);
        }
        let features = self.project(params, self.pooling.forward(params, &tokens)); // [B, F]
        if self.projection.is_some() {
            activations.units(&features);
        }
        activations.features = Some(features.shallow_clone());
        features
    }

    fn trace(&self, tracer: &mut Tracer, obs: Value) -> Result<Value> {
        let mut tokens = self.tokenizer.trace(tracer, obs)?;
        if let Some(cls) = self.cls {
            let first = tracer.constant(cls)?;
            let width = tracer.shape(tokens)[1];
            let first = tracer.reshape(first, &[1, width])?;
            tokens = tracer.add(Op::Concatenate { axis: 0 }, &[first, tokens])?;
        }
        let tokens = match &self.mixer {
            Mixer::None => tokens,
            Mixer::Mlp(mixer) => mixer.trace(tracer, tokens)?,
            Mixer::SoftMoe(mixer) => mixer.trace(tracer, tokens)?,
            Mixer::Transformer(mixer) => mixer.trace(tracer, tokens)?,
        };
        let pooled = self.pooling.trace(tracer, tokens)?;
        let Some((linear, norm)) = &self.projection else {
            return Ok(pooled);
        };
        let projected = linear.trace(tracer, pooled)?;
        let projected = norm.trace(tracer, projected)?;
        tracer.add(Op::Activate(Activation::Tanh), &[projected])
    }

    fn multiply_adds(&self) -> i64 {
        let mixer = match &self.mixer {
            Mixer::None => 0,
            Mixer::Mlp(mixer) => mixer.multiply_adds(self.tokens),
            Mixer::SoftMoe(mixer) => mixer.multiply_adds(self.tokens),
            Mixer::Transformer(mixer) => mixer.multiply_adds(self.tokens),
        };
        let projection = self.projection.as_ref().map_or(0, |(linear, _)| linear.multiply_adds());
        self.tokenizer.multiply_adds() + mixer + self.pooling.multiply_adds(self.tokens) + projection
    }
}
