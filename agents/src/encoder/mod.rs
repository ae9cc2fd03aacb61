//! From observations to features: [`EncoderSpec`], [`Encoder`].

mod flat;
mod normalizer;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use flat::Flat;
pub use normalizer::{ObservationNormalizer, Statistics};

use crate::nn::{ParamLayout, Params};

/// Which encoder. Default: flat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderSpec {
    /// The observation itself, flattened to a vector.
    #[default]
    Flat,
}

/// A map from observations `[B, …]` to features `[B, F]`.
pub trait Encoder: Send {
    /// F.
    fn width(&self) -> i64;

    /// Features `[B, F]` of `obs` `[B, …]`. `params` are the views of the block that the encoder was built into.
    fn encode(&self, params: &Params, obs: &Tensor) -> Tensor;
}

impl EncoderSpec {
    /// Builds the encoder for observations of `shape` and adds its parameters to `layout`.
    pub fn build(&self, shape: &[usize], _layout: &mut ParamLayout) -> Box<dyn Encoder> {
        match self {
            EncoderSpec::Flat => Box::new(Flat::new(shape)),
        }
    }
}
