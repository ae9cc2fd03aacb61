//! From observations to tokens `[B, m, d]`: [`TokenizationSpec`], [`Tokenizer`].
//!
//! | Tokenization | Of | m | numbers of each, before any embedding |
//! |---|---|---|---|
//! | `per_entity` | a set `[count, width]` | count | width |
//! | `per_sample` | anything | 1 | all |
//! | `per_dimension` | a vector `[O]` | O | `x_j · w_j + b_j`, which is an embedding |
//! | `chunks` | a vector `[O]` | count | hidden / count units of a layer with ReLU |
//! | `per_conv` | a feature map `[C, H, W]` | H·W | C |
//! | `per_feature` | a feature map | C | H·W |
//! | `per_patch` | a feature map | ⌈H/size⌉·⌈W/size⌉ | C, averaged over a patch |
//!
//! Source of the ones for feature maps: Obando-Ceron et al. 2024 (arXiv 2402.08609), section 3.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::conv::{ConvTrunk, Map};
use crate::nn::{Activations, Init, Linear, ParamIndex, ParamLayout, Params};

/// What one token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizationSpec {
    /// A row of a set.
    PerEntity {},
    /// Everything: one token.
    PerSample {},
    /// A coordinate of a vector, with a learned embedding of its own.
    PerDimension {},
    /// Neighbouring units of a hidden layer over a vector.
    Chunks {
        /// How many.
        count: i64,
        /// Units of the layer; a multiple of `count`.
        hidden: i64,
    },
    /// A place of a feature map.
    PerConv {},
    /// A channel of a feature map.
    PerFeature {},
    /// The average over a square of a feature map; at the far edges, over what is there.
    PerPatch {
        /// Its side.
        size: i64,
    },
}

impl TokenizationSpec {
    /// What a file calls it.
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

    /// Tokens and numbers of each that become of a feature map, if it is for those.
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

    /// Tokens and numbers of each that become of a vector or a set, before they are embedded, if it is for those.
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

/// What is added to tokens so that a mixer or a pooling can tell their places apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionEmbedding {
    /// Nothing.
    #[default]
    None,
    /// A learned vector per place.
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
    /// Rows `[count, width]`; or the whole, as one.
    Rows { count: i64 },
    /// Weights and biases `[O, d]`.
    Coordinates { weight: ParamIndex, bias: ParamIndex },
    /// A hidden layer in so many parts.
    Chunks { hidden: Linear, count: i64 },
    /// A feature map, tokenized.
    Map { trunk: ConvTrunk, rule: TokenizationSpec },
}

/// Makes tokens.
pub struct Tokenizer {
    source: Source,
    embedding: Option<Linear>,
    /// `[m, d]`
    position: Option<ParamIndex>,
    count: i64,
    width: i64,
}

impl Tokenizer {
    /// Of vectors and sets of `shape`, each token embedded in `width` numbers. Adds `encoder.tokens.…` to `layout`.
    ///
    /// # Panics
    /// When it is not for such shapes: checked against the observation.
    pub fn of_shape(spec: TokenizationSpec, shape: &[i64], width: i64, layout: &mut ParamLayout) -> Self {
        let (count, numbers) = spec
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
            _ => Some(Linear::new("encoder.tokens.embedding", numbers, width, layout)),
        };
        Tokenizer {
            source,
            embedding,
            position: None,
            count,
            width,
        }
    }

    /// The same with a vector added to each token. Adds `encoder.tokens.position` to `layout`.
    pub fn with_positions(mut self, spec: PositionEmbedding, layout: &mut ParamLayout) -> Self {
        self.position = (spec == PositionEmbedding::Learned).then(|| {
            let init = Init::Linear { fan_in: self.width };
            layout.add("encoder.tokens.position", &[self.count, self.width], init)
        });
        self
    }

    /// Of what `trunk` makes of images; embedded in `width` numbers if given.
    ///
    /// # Panics
    /// When it is not for feature maps: checked before.
    pub fn of_map(spec: TokenizationSpec, trunk: ConvTrunk, width: Option<i64>, layout: &mut ParamLayout) -> Self {
        let (count, numbers) = spec
            .of_map(trunk.output())
            .expect("the tokenization is for feature maps: checked against the observation");
        Tokenizer {
            source: Source::Map { trunk, rule: spec },
            embedding: width.map(|width| Linear::new("encoder.tokens.embedding", numbers, width, layout)),
            position: None,
            count,
            width: width.unwrap_or(numbers),
        }
    }

    /// m.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// d.
    pub fn width(&self) -> i64 {
        self.width
    }

    /// Rows and columns of the feature map, where every token is a place of it.
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

    /// `obs [B, …]` to `[B, m, d]`.
    pub fn forward(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.pass(params, obs, None)
    }

    /// The same; hidden activations are noted in `activations`.
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
