//! Settings of encoders and their checks: [`EncoderSpec`], [`EncoderSettings`].

use std::sync::Arc;

use sac_envs::{Dtype, Space};
use serde::{Deserialize, Serialize};

use super::{
    Encoder, Flat,
    conv::{ConvArchitecture, ConvTrunk, Map},
    pipeline::{MixerSpec, Pipeline},
    pooling::{AdapoolSpec, PoolingSpec, Query},
    tokens::{PositionEmbedding, TokenizationSpec, Tokenizer},
};
use crate::{
    custom::{Choice, Custom},
    error::Result,
    nn::{InitialWeights, ParamLayout},
    spec_problems::SpecProblems,
};

/// Settings of an encoder that is defined outside this crate.
pub trait EncoderSettings: Send + Sync {
    /// Builds the encoder for an observation space that [`EncoderSettings::misfit`] does not refuse, and adds its
    /// parameters, named `encoder.…`, to `layout`.
    fn build(&self, observation: &Space, layout: &mut ParamLayout) -> Box<dyn Encoder>;

    /// Why the encoder does not support an observation space; `None` if it does.
    fn misfit(&self, _observation: &Space) -> Option<String> {
        None
    }

    /// Reports values that are out of range, by their keys, which begin with `agent.encoder`.
    fn check(&self, _problems: &mut SpecProblems) {}
}

/// The kind of encoder and its settings. Default: flat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderSpec {
    /// The observation, flattened to a vector.
    Flat {},
    /// Tokens of a vector `[O]` or of a set `[count, width]`.
    Tokens(TokensSpec),
    /// Convolutions over an image `[channels, height, width]`, followed by tokens of the feature map.
    Conv(ConvSpec),
    /// An encoder that is defined outside this crate: [`EncoderSpec::custom`].
    #[serde(skip)]
    Custom(Custom<dyn EncoderSettings>),
}

impl Default for EncoderSpec {
    fn default() -> Self {
        EncoderSpec::Flat {}
    }
}

/// Settings of encoders of vectors and sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensSpec {
    /// How observations are split into tokens.
    pub tokenization: TokenizationSpec,
    /// d, the width to which each token is embedded, at least 1.
    pub width: i64,
    /// Embedding of the position, which is added to each token.
    #[serde(skip_serializing_if = "PositionEmbedding::is_none")]
    pub position_embedding: PositionEmbedding,
    /// Mixer of tokens.
    pub mixer: MixerSpec,
    /// Pooling of tokens to one vector.
    pub pooling: PoolingSpec,
    /// Number of features of a final linear layer with layer normalisation and tanh, if there is one. SAC-AE and
    /// DrQ-v2: 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<i64>,
}

impl Default for TokensSpec {
    fn default() -> Self {
        TokensSpec {
            tokenization: TokenizationSpec::PerEntity {},
            width: 64,
            position_embedding: PositionEmbedding::None,
            mixer: MixerSpec::None {},
            pooling: PoolingSpec::Adapool(AdapoolSpec::default()),
            projection: None,
        }
    }
}

/// Settings of encoders of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvSpec {
    /// The convolutional layers.
    pub architecture: ConvArchitecture,
    /// Factor of the number of channels relative to the source, above 0.
    pub channel_multiplier: f64,
    /// Whether convolutions are followed by layer normalisation.
    pub layer_norm: bool,
    /// Initialisation of all layers of the encoder.
    #[serde(skip_serializing_if = "InitialWeights::is_uniform")]
    pub initial_weights: InitialWeights,
    /// How the feature map is split into tokens. `per_conv` without a mixer and with the pooling `flatten` gives the
    /// usual flattened feature map.
    pub tokenization: TokenizationSpec,
    /// d, the width to which each token is embedded, at least 1. If omitted, tokens are not embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    /// Embedding of the position, which is added to each token.
    #[serde(skip_serializing_if = "PositionEmbedding::is_none")]
    pub position_embedding: PositionEmbedding,
    /// Mixer of tokens.
    pub mixer: MixerSpec,
    /// Pooling of tokens to one vector.
    pub pooling: PoolingSpec,
    /// Number of features of a final linear layer with layer normalisation and tanh, if there is one. SAC-AE and
    /// DrQ-v2: 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection: Option<i64>,
}

impl Default for ConvSpec {
    fn default() -> Self {
        ConvSpec {
            architecture: ConvArchitecture::Nature,
            channel_multiplier: 1.0,
            layer_norm: false,
            initial_weights: InitialWeights::Uniform,
            tokenization: TokenizationSpec::PerConv {},
            width: None,
            position_embedding: PositionEmbedding::None,
            mixer: MixerSpec::None {},
            pooling: PoolingSpec::Flatten {},
            projection: None,
        }
    }
}

/// Upper limit of widths, far above what is useful. It turns a typing error into a message instead of exhausted memory.
const MAX_WIDTH: i64 = 65_536;
/// Upper limit of an encoder's parameters: 2 GB, and several times that with moments and target parameters.
const MAX_PARAMETERS: i64 = 500_000_000;

fn shape_of(observation: &Space) -> Vec<i64> {
    observation.shape().iter().map(|extent| *extent as i64).collect()
}

fn image(shape: &[i64]) -> Option<Map> {
    match *shape {
        [channels, height, width] => Some(Map {
            channels,
            height,
            width,
        }),
        _ => None,
    }
}

/// The settings that all encoders with tokens have.
struct Stages<'a> {
    tokenization: TokenizationSpec,
    width: Option<i64>,
    mixer: &'a MixerSpec,
    pooling: &'a PoolingSpec,
    projection: Option<i64>,
}

impl Choice for EncoderSpec {
    type Part = dyn EncoderSettings;

    fn custom(&self) -> Option<&Custom<dyn EncoderSettings>> {
        match self {
            EncoderSpec::Custom(custom) => Some(custom),
            _ => None,
        }
    }
}

impl EncoderSpec {
    /// An encoder that is defined outside this crate. `kind` is its name in files.
    ///
    /// # Errors
    /// When TOML cannot hold the settings.
    pub fn custom(kind: &str, settings: impl EncoderSettings + Serialize + 'static) -> Result<Self> {
        let settings = Arc::new(settings);
        let part: Arc<dyn EncoderSettings> = settings.clone();
        Ok(EncoderSpec::Custom(Custom::new(
            "agent.encoder",
            kind,
            &*settings,
            part,
        )?))
    }

    /// The name in a file.
    pub fn kind(&self) -> &str {
        match self {
            EncoderSpec::Flat {} => "flat",
            EncoderSpec::Tokens(_) => "tokens",
            EncoderSpec::Conv(_) => "conv",
            EncoderSpec::Custom(custom) => custom.kind(),
        }
    }

    /// Builds the encoder for an observation space, and adds its parameters, named `encoder.…`, to `layout`.
    ///
    /// # Panics
    /// When the encoder does not fit the space. [`crate::AgentSpec::observation_problems`] checks this.
    pub fn build(&self, observation: &Space, layout: &mut ParamLayout) -> Box<dyn Encoder> {
        let shape = shape_of(observation);
        match self {
            EncoderSpec::Flat {} => Box::new(Flat::new(&observation.shape())),
            EncoderSpec::Custom(custom) => custom.part().build(observation, layout),
            EncoderSpec::Tokens(spec) => {
                let tokenizer = Tokenizer::of_shape(spec.tokenization, &shape, spec.width, layout)
                    .with_positions(spec.position_embedding, layout);
                let (mixer, pooling) = (&spec.mixer, &spec.pooling);
                Box::new(Pipeline::new(tokenizer, mixer, pooling, spec.projection, layout))
            }
            EncoderSpec::Conv(spec) => {
                let image = image(&shape).expect("the observation is an image: checked against it");
                let has_bytes = matches!(observation, Space::Box { dtype: Dtype::U8, .. });
                let network = (spec.architecture, spec.channel_multiplier, spec.layer_norm);
                layout.with_initial_weights(spec.initial_weights, |layout| {
                    let trunk = ConvTrunk::new(network, image, has_bytes, layout);
                    let tokenizer = Tokenizer::of_map(spec.tokenization, trunk, spec.width, layout)
                        .with_positions(spec.position_embedding, layout);
                    let (mixer, pooling) = (&spec.mixer, &spec.pooling);
                    Box::new(Pipeline::new(tokenizer, mixer, pooling, spec.projection, layout))
                })
            }
        }
    }

    fn stages(&self) -> Option<Stages<'_>> {
        match self {
            EncoderSpec::Flat {} | EncoderSpec::Custom(_) => None,
            EncoderSpec::Tokens(spec) => Some(Stages {
                tokenization: spec.tokenization,
                width: Some(spec.width),
                mixer: &spec.mixer,
                pooling: &spec.pooling,
                projection: spec.projection,
            }),
            EncoderSpec::Conv(spec) => Some(Stages {
                tokenization: spec.tokenization,
                width: spec.width,
                mixer: &spec.mixer,
                pooling: &spec.pooling,
                projection: spec.projection,
            }),
        }
    }

    /// Reports values that are out of range for any observation space.
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        if let EncoderSpec::Custom(custom) = self {
            custom.part().check(p);
        }
        if let EncoderSpec::Conv(spec) = self {
            let multiplier = spec.channel_multiplier;
            let holds = multiplier > 0.0 && multiplier <= 64.0;
            p.require(
                holds,
                "agent.encoder.channel_multiplier",
                multiplier,
                "above 0 and at most 64",
            );
        }
        let Some(Stages {
            tokenization,
            width,
            mixer,
            pooling,
            projection,
        }) = self.stages()
        else {
            return;
        };
        for (key, value) in [("width", width), ("projection", projection)] {
            if let Some(value) = value {
                let key = format!("agent.encoder.{key}");
                p.require((1..=MAX_WIDTH).contains(&value), &key, value, "between 1 and 65536");
            }
        }
        match tokenization {
            TokenizationSpec::Chunks { count, hidden } => {
                let key = "agent.encoder.tokenization.count";
                p.require((1..=4096).contains(&count), key, count, "between 1 and 4096");
                let key = "agent.encoder.tokenization.hidden";
                let holds = (1..=MAX_WIDTH).contains(&hidden) && (count < 1 || hidden % count == 0);
                let near = (hidden.max(1) + count.max(1) - 1) / count.max(1) * count.max(1);
                let expected = format!("a multiple of count = {count}, such as {near}");
                p.require(holds, key, hidden, &expected);
            }
            TokenizationSpec::PerPatch { size } => {
                let key = "agent.encoder.tokenization.size";
                p.require((1..=4096).contains(&size), key, size, "between 1 and 4096");
            }
            _ => {}
        }
        let problem = "this token depends on the others only through a mixer, and there is none; use mixer.kind = \
                       \"transformer\" or \"soft_moe\", or another pooling";
        let holds = mixer.mixes() || *pooling != PoolingSpec::Cls {};
        p.require(holds, "agent.encoder.pooling.kind", "\"cls\"", problem);
        match mixer {
            MixerSpec::None {} => {}
            MixerSpec::Mlp(spec) => spec.check(p),
            MixerSpec::SoftMoe(spec) => spec.check(p),
            MixerSpec::Transformer(spec) => spec.check(p),
        }
        pooling.check(p);
    }

    /// Reports settings that do not fit the observation space.
    pub(crate) fn check_observation(&self, p: &mut SpecProblems, observation: &Space) {
        if let EncoderSpec::Custom(custom) = self
            && let Some(misfit) = custom.part().misfit(observation)
        {
            let problem = format!("{misfit}, but the observation is {observation}");
            p.require(false, "agent.encoder.kind", format!("\"{}\"", self.kind()), &problem);
        }
        let mut own = SpecProblems::default();
        self.check(&mut own);
        let Some(Stages {
            tokenization,
            width,
            mixer,
            pooling,
            ..
        }) = self.stages()
        else {
            return;
        };
        if !own.is_empty() {
            return; // Shapes cannot be computed from invalid values.
        }
        let shape = shape_of(observation);
        let what = match shape.as_slice() {
            [] => "a single number".to_string(),
            [_] => format!("a vector, {shape:?}"),
            [_, _] => format!("a set of tokens, {shape:?}"),
            [_, _, _] => format!("an image, {shape:?}"),
            _ => format!("of shape {shape:?}"),
        };
        let tokens = match self {
            EncoderSpec::Conv(spec) => {
                let Some(image) = image(&shape) else {
                    let advice = match shape.len() {
                        1 | 2 => {
                            "use kind = \"flat\" or \"tokens\", or show pixels: env.wrappers = [{ kind = \"pixels\" }, { kind = \
                             \"frame_stack\" }]"
                        }
                        _ => "use kind = \"flat\"",
                    };
                    let problem = format!("this applies to images, but the observation is {what}; {advice}");
                    p.require(false, "agent.encoder.kind", "\"conv\"", &problem);
                    return;
                };
                let Some(map) = spec.architecture.output(spec.channel_multiplier, image) else {
                    let problem = format!(
                        "this architecture needs images of at least {side} x {side}, but they are {} x {}; use larger ones, or \
                         architecture = \"impala\", which takes any size",
                        image.height,
                        image.width,
                        side = spec.architecture.smallest_side(),
                    );
                    let value = format!(
                        "\"{}\"",
                        if spec.architecture == ConvArchitecture::Nature {
                            "nature"
                        } else {
                            "drq"
                        }
                    );
                    p.require(false, "agent.encoder.architecture", value, &problem);
                    return;
                };
                tokenization.of_map(map)
            }
            _ => tokenization.of_shape(&shape),
        };
        let Some((count, numbers_per_token)) = tokens else {
            let alternatives = match (self, shape.len()) {
                (EncoderSpec::Conv(_), _) => "\"per_conv\", \"per_feature\", \"per_patch\" or \"per_sample\"",
                (_, 1) => "\"per_dimension\", \"chunks\" or \"per_sample\"",
                (_, 2) => "\"per_entity\" or \"per_sample\"",
                (_, 3) => "agent.encoder.kind = \"conv\"",
                _ => "agent.encoder.kind = \"flat\"",
            };
            let problem = format!("this does not apply, because the observation is {what}; use {alternatives}");
            let value = format!("\"{}\"", tokenization.kind());
            p.require(false, "agent.encoder.tokenization.kind", value, &problem);
            return;
        };
        let width = width.unwrap_or(numbers_per_token);
        let divides = |p: &mut SpecProblems, key: &str, heads: i64| {
            let alternatives: Vec<String> = (1..=heads.min(width))
                .rev()
                .filter(|heads| width % heads == 0)
                .take(3)
                .map(|heads| heads.to_string())
                .collect();
            let problem = format!(
                "this does not divide the {width} numbers of a token; use {}, or set agent.encoder.width to a multiple \
                 of {heads}",
                alternatives.join(" or ")
            );
            p.require(width % heads == 0, key, heads, &problem);
        };
        if let MixerSpec::Transformer(spec) = mixer {
            divides(p, "agent.encoder.mixer.heads", spec.heads);
        }
        if let PoolingSpec::Adapool(AdapoolSpec { query, heads }) = *pooling {
            divides(p, "agent.encoder.pooling.heads", heads);
            if let Query::Index(index) = query {
                let problem = format!(
                    "this token does not exist; the {count} tokens have the indices 0 to {}",
                    count - 1
                );
                let value = format!("{{ index = {index} }}");
                p.require(index < count, "agent.encoder.pooling.query", value, &problem);
            }
        }
        let features = match pooling {
            PoolingSpec::Flatten {} => count.saturating_mul(width),
            _ => width,
        };
        let holds = features <= 16 * MAX_WIDTH;
        let problem = format!(
            "this gives {features} features, more than the limit of {}",
            16 * MAX_WIDTH
        );
        p.require(holds, "agent.encoder.pooling.kind", "\"flatten\"", &problem);
        if !p.is_empty() {
            return;
        }
        let mut layout = ParamLayout::default();
        self.build(observation, &mut layout);
        let problem = format!(
            "this encoder would have {} parameters, more than {MAX_PARAMETERS}; make it narrower",
            layout.count()
        );
        let kind = format!("\"{}\"", self.kind());
        p.require(layout.count() <= MAX_PARAMETERS, "agent.encoder.kind", kind, &problem);
    }
}
