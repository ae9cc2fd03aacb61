//! Tokens, then a mixer, then a pooling, then perhaps a projection: [`Pipeline`].

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Encoder,
    pooling::{Pooling, PoolingSpec},
    soft_moe::{SoftMoe, SoftMoeSpec},
    tokens::Tokenizer,
    transformer::{Transformer, TransformerSpec},
};
use crate::{
    nn::{Init, LayerNorm, Linear, ParamIndex, ParamLayout, Params},
    noise::Stream,
};

/// Added to the variance of the projection; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

/// What happens between tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MixerSpec {
    /// Nothing.
    None {},
    /// A soft mixture of experts.
    SoftMoe(SoftMoeSpec),
    /// Self-attention.
    Transformer(TransformerSpec),
}

enum Mixer {
    None,
    SoftMoe(SoftMoe),
    Transformer(Transformer),
}

/// Everything behind the tokens.
pub struct Pipeline {
    tokenizer: Tokenizer,
    /// `[d]`, before the other tokens.
    cls: Option<ParamIndex>,
    mixer: Mixer,
    pooling: Pooling,
    projection: Option<(Linear, LayerNorm)>,
    tokens: i64,
    width: i64,
}

impl Pipeline {
    /// Adds the parameters of mixer, pooling and projection to `layout`; the tokenizer has added its own.
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
            MixerSpec::SoftMoe(spec) => Mixer::SoftMoe(SoftMoe::new(spec, token_width, layout)),
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

    /// The tokens `[B, m, d]` that the pooling sees.
    pub fn mixed(&self, params: &Params, obs: &Tensor, noise: Option<&mut Stream>) -> Tensor {
        let mut tokens = self.tokenizer.forward(params, obs); // [B, m, d]
        if let Some(cls) = self.cls {
            let first = params[cls].expand([tokens.size()[0], 1, -1], false);
            tokens = Tensor::cat(&[first, tokens], 1);
        }
        match &self.mixer {
            Mixer::None => tokens,
            Mixer::SoftMoe(mixer) => mixer.forward(params, &tokens, noise),
            Mixer::Transformer(mixer) => mixer.forward(params, &tokens),
        }
    }
}

impl Encoder for Pipeline {
    fn width(&self) -> i64 {
        self.width
    }

    fn encode(&self, params: &Params, obs: &Tensor, noise: Option<&mut Stream>) -> Tensor {
        let features = self.pooling.forward(params, &self.mixed(params, obs, noise)); // [B, F]
        match &self.projection {
            None => features,
            Some((linear, norm)) => norm.forward(params, &linear.forward(params, &features)).tanh(),
        }
    }

    fn multiply_adds(&self) -> i64 {
        let mixer = match &self.mixer {
            Mixer::None => 0,
            Mixer::SoftMoe(mixer) => mixer.multiply_adds(self.tokens),
            Mixer::Transformer(mixer) => mixer.multiply_adds(self.tokens),
        };
        let projection = self.projection.as_ref().map_or(0, |(linear, _)| linear.multiply_adds());
        self.tokenizer.multiply_adds() + mixer + self.pooling.multiply_adds(self.tokens) + projection
    }
}
