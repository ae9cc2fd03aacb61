//! The splitting of observations into tokens `[B, m, d]`: [`TokenizationSpec`], [`Tokenizer`].
//!
//! | Tokenization | Of | m | numbers per token, before any embedding |
//! |---|---|---|---|
//! | `per_entity` | a set `[count, width]` | count | width |
//! | `per_sample` | anything | 1 | all |
//! | `per_dimension` | a vector `[O]` | O | `x_j · w_j + b_j`, which is an embedding |
//! | `chunks` | a vector `[O]` | count | hidden / count units of a layer with ReLU |
//! | `per_conv` | a feature map `[C, H, W]` | H·W | C |
//! | `per_feature` | a feature map | C | H·W |
//! | `per_patch` | a feature map | ⌈H/size⌉·⌈W/size⌉ | C, averaged over a patch |
//!
//! Source of the tokenizations of feature maps: Obando-Ceron et al. 2024 (arXiv 2402.08609), section 3.

use sac_kernels::Activation;
use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::conv::{ConvTrunk, Map};
use crate::{
    error::Result,
    nn::{Activations, Init, Linear, ParamIndex, ParamLayout, Params, Tracer},
};

/// How an observation is split into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizationSpec {
    /// One token per row of a set.
    PerEntity {},
    /// One token for the whole observation.
    PerSample {},
    /// One token per coordinate of a vector, each with its own learned embedding.
    PerDimension {},
    /// One token per group of neighbouring units of a hidden layer over a vector.
    Chunks {
        /// Number of groups.
        count: i64,
        /// Units of the layer; a multiple of `count`.
        hidden: i64,
    },
    /// One token per position of a feature map.
    PerConv {},
    /// One token per channel of a feature map.
    PerFeature {},
    /// One token per square patch of a feature map, the mean over its positions. Patches at the right and lower edge
    /// may be smaller.
    PerPatch {
        /// Side of a patch.
        size: i64,
    },
}

impl TokenizationSpec {
    /// The name in a file.
    pub fn kind(self) -> &'static str {
        match self {
            TokenizationSpec::PerEntity {} => "per_entity",
            TokenizationSpec::PerSample {} => "per_sample",
            TokenizationSpec::PerDimension {} => "per_dimension",
            TokenizationSpec::Chunks { .. } => "chunks",
            TokenizationSpec::PerConv {} => "per_conv",
            TokenizationSpec::PerFeature {} => "per_feature",
            TokenizationSpec::PerPatch { .. } => "per_patch",
        }
    }

    /// Number of tokens and numbers per token for a feature map; `None` if the tokenization does not apply to feature
    /// maps.
    pub fn of_map(self, map: Map) -> Option<(i64, i64)> {
        let Map {
            channels,
            height,
            width,
        } = map;
        match self {
            TokenizationSpec::PerConv {} => Some((map.area(), channels)),
            TokenizationSpec::PerFeature {} => Some((channels, map.area())),
            TokenizationSpec::PerSample {} => Some((1, channels * map.area())),
            TokenizationSpec::PerPatch { size } => {
                let patches = |length: i64| (length + size - 1) / size;
                Some((patches(height) * patches(width), channels))
            }
            TokenizationSpec::PerEntity {} | TokenizationSpec::PerDimension {} | TokenizationSpec::Chunks { .. } => {
                None
            }
        }
    }

    /// Number of tokens and numbers per token, before embedding, for a vector or set of `shape`; `None` if the
    /// tokenization does not apply to that shape.
    pub fn of_shape(self, shape: &[i64]) -> Option<(i64, i64)> {
        match (self, shape) {
            (TokenizationSpec::PerEntity {}, [count, width]) => Some((*count, *width)),
            (TokenizationSpec::PerSample {}, [_] | [_, _]) => Some((1, shape.iter().product())),
            (TokenizationSpec::PerDimension {}, [width]) => Some((*width, 1)),
            (TokenizationSpec::Chunks { count, hidden }, [_]) => Some((count, hidden / count)),
            _ => None,
        }
    }
}

/// The embedding of a token's position, by which a mixer or pooling can distinguish positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionEmbedding {
    /// No embedding.
    #[default]
    None,
    /// A learned vector per position.
    ///
    /// Source: Dosovitskiy et al. 2021 (arXiv 2010.11929), equation 1.
    Learned,
}

impl PositionEmbedding {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == PositionEmbedding::None
    }
}

enum Source {
    /// `count` rows of a set, or the whole observation as one row.
    Rows { count: i64 },
    /// Coordinates of a vector, with weights and biases `[O, d]`.
    Coordinates { weight: ParamIndex, bias: ParamIndex },
    /// A hidden layer, split into `count` groups.
    Chunks { hidden: Linear, count: i64 },
    /// A feature map.
    Map { trunk: ConvTrunk, rule: TokenizationSpec },
}

/// Splits observations into tokens.
pub struct Tokenizer {
    source: Source,
    embedding: Option<Linear>,
    /// `[m, d]`.
    position: Option<ParamIndex>,
    count: i64,
    width: i64,
}

impl Tokenizer {
    /// A tokenizer of vectors or sets of `shape`, with tokens embedded in `width` numbers. Adds `encoder.tokens.…` to
    /// `layout`.
    ///
    /// # Panics
    /// When the tokenization does not apply to `shape`.
    pub fn of_shape(spec: TokenizationSpec, shape: &[i64], width: i64, layout: &mut ParamLayout) -> Self {
        let (count, numbers_per_token) = spec
            .of_shape(shape)
            .expect("the tokenization suits the shape: checked against the observation");
        let source = match spec {
            TokenizationSpec::PerDimension {} => {
                let mut add = |part: &str| {
                    let init = Init::Linear { fan_in: 1 };
                    layout.add(format!("encoder.tokens.{part}"), &[count, width], init)
                };
                Source::Coordinates {
                    weight: add("weight"),
                    bias: add("bias"),
                }
            }
            TokenizationSpec::Chunks { count, hidden } => Source::Chunks {
                hidden: Linear::new("encoder.tokens.hidden", shape.iter().product(), hidden, layout),
                count,
            },
            _ => Source::Rows { count },
        };
        let embedding = match source {
            Source::Coordinates { .. } => None,
            _ => Some(Linear::new(
                "encoder.tokens.embedding",
                numbers_per_token,
                width,
                layout,
            )),
        };
        Tokenizer {
            source,
            embedding,
            position: None,
            count,
            width,
        }
    }

    /// Adds an embedding of positions. If it is learned, adds `encoder.tokens.position` to `layout`.
    pub fn with_positions(mut self, spec: PositionEmbedding, layout: &mut ParamLayout) -> Self {
        self.position = (spec == PositionEmbedding::Learned).then(|| {
            let init = Init::Linear { fan_in: self.width };
            layout.add("encoder.tokens.position", &[self.count, self.width], init)
        });
        self
    }

    /// A tokenizer of the feature maps of `trunk`, with tokens embedded in `width` numbers if it is given.
    ///
    /// # Panics
    /// When the tokenization does not apply to feature maps.
    pub fn of_map(spec: TokenizationSpec, trunk: ConvTrunk, width: Option<i64>, layout: &mut ParamLayout) -> Self {
        let (count, numbers_per_token) = spec
            .of_map(trunk.output())
            .expect("the tokenization is for feature maps: checked against the observation");
        Tokenizer {
            source: Source::Map { trunk, rule: spec },
            embedding: width.map(|width| Linear::new("encoder.tokens.embedding", numbers_per_token, width, layout)),
            position: None,
            count,
            width: width.unwrap_or(numbers_per_token),
        }
    }

    /// m, the number of tokens.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// d, the width of a token.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Height and width of the grid of tokens, if every token is a position or patch of a feature map.
    pub fn grid(&self) -> Option<[i64; 2]> {
        let Source::Map { trunk, rule } = &self.source else {
            return None;
        };
        let Map { height, width, .. } = trunk.output();
        match *rule {
            TokenizationSpec::PerConv {} => Some([height, width]),
            TokenizationSpec::PerPatch { size } => Some([(height + size - 1) / size, (width + size - 1) / size]),
            _ => None,
        }
    }

    /// The tokens `[B, m, d]` of `obs [B, …]`.
    pub fn forward(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.pass(params, obs, None)
    }

    /// [`Tokenizer::forward`], which records hidden activations.
    pub(super) fn pass(&self, params: &Params, obs: &Tensor, activations: Option<&mut Activations>) -> Tensor {
        let tokens = match &self.source {
            Source::Rows { count } => obs.reshape([obs.size()[0], *count, -1]),
            Source::Coordinates { weight, bias } => obs.unsqueeze(-1) * &params[*weight] + &params[*bias],
            Source::Chunks { hidden, count } => {
                let units = hidden.forward(params, obs).relu(); // [B, hidden]
                if let Some(activations) = activations {
                    activations.units(&units);
                }
                units.unflatten(1, [*count, -1])
            }
            Source::Map { trunk, rule } => {
                let map = trunk.pass(params, obs, activations); // [B, C, H, W]
                match rule {
                    TokenizationSpec::PerConv {} => map.flatten(2, 3).transpose(1, 2),
                    TokenizationSpec::PerPatch { size } => map
                        .avg_pool2d([*size; 2], [*size; 2], [0, 0], true, false, None)
                        .flatten(2, 3)
                        .transpose(1, 2),
                    TokenizationSpec::PerFeature {} => map.flatten(2, 3),
                    _ => map.flatten(1, 3).unsqueeze(1),
                }
            }
        };
        let tokens = match &self.embedding {
            None => tokens,
            Some(embedding) => embedding.forward(params, &tokens),
        };
        match self.position {
            None => tokens,
            Some(position) => tokens + &params[position],
        }
    }

    /// Adds the tokenizer to a graph: tokens `[m, d]` of an observation.
    pub(super) fn trace(&self, tracer: &mut Tracer, obs: Value) -> Result<Value> {
        let count = self.count as usize;
        let mut tokens = match &self.source {
            Source::Rows { count } => trace_rows(tracer, obs, *count as usize)?,
            Source::Coordinates { weight, bias } => {
                // Each coordinate has a linear layer with one input of its own.
                let shape = [self.count, 1, self.width];
                let mut of_experts = |index: ParamIndex| {
                    let values = tracer.values(index).reshape(shape);
                    let name = tracer.name(index).to_string();
                    tracer.tensor(&name, &values)
                };
                let op = Op::Experts {
                    weight: of_experts(*weight)?,
                    bias: of_experts(*bias)?,
                };
                let obs = tracer.reshape(obs, &[count, 1, 1])?;
                let tokens = tracer.add(op, &[obs])?;
                trace_rows(tracer, tokens, count)?
            }
            Source::Chunks { hidden, count } => {
                let units = hidden.trace(tracer, obs)?;
                let units = tracer.add(Op::Activate(Activation::Relu), &[units])?;
                trace_rows(tracer, units, *count as usize)?
            }
            Source::Map { trunk, rule } => {
                let mut map = trunk.trace(tracer, obs)?; // [C, H, W]
                if let TokenizationSpec::PerPatch { size } = rule {
                    let size = *size as usize;
                    map = tracer.add(Op::PatchMean { size }, &[map])?;
                }
                let channels = tracer.shape(map)[0];
                match rule {
                    TokenizationSpec::PerConv {} | TokenizationSpec::PerPatch { .. } => {
                        let rows = trace_rows(tracer, map, channels)?;
                        tracer.transpose(rows, 0, 1)?
                    }
                    _ => trace_rows(tracer, map, count)?,
                }
            }
        };
        if let Some(embedding) = &self.embedding {
            tokens = embedding.trace(tracer, tokens)?;
        }
        if let Some(position) = self.position {
            let position = tracer.constant(position)?;
            tokens = tracer.add(Op::Combine(Arithmetic::Add), &[tokens, position])?;
        }
        Ok(tokens)
    }

    /// Multiply-adds for one sample.
    pub fn multiply_adds(&self) -> i64 {
        let source = match &self.source {
            Source::Rows { .. } => 0,
            Source::Coordinates { .. } => self.count * self.width,
            Source::Chunks { hidden, .. } => hidden.multiply_adds(),
            Source::Map { trunk, .. } => trunk.multiply_adds(),
        };
        source + self.count * self.embedding.as_ref().map_or(0, Linear::multiply_adds)
    }
}

/// The numbers of a value as `count` rows.
fn trace_rows(tracer: &mut Tracer, value: Value, count: usize) -> Result<Value> {
    let numbers: usize = tracer.shape(value).iter().product();
    tracer.reshape(value, &[count, numbers / count])
}
