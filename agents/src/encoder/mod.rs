//! Encoders of observations to features: [`EncoderSpec`], [`Encoder`].
//!
//! ```text
//! obs [B, …] → (convolutions) → tokens [B, m, d] → mixer [B, m, d] → pooling [B, F] → (projection [B, F])
//! ```

mod attention;
pub mod conv;
mod flat;
mod normalizer;
mod pipeline;
pub mod pooling;
mod shared;
pub mod soft_moe;
mod spec;
pub mod token_mlp;
pub mod tokens;
pub mod transformer;

use tch::Tensor;

pub use attention::{Attention, Scale};
pub use conv::{ConvArchitecture, ConvTrunk, Map};
pub use flat::Flat;
pub use normalizer::{ObservationNormalizer, Statistics};
pub use pipeline::{MixerSpec, Pipeline};
pub use pooling::{Adapool, AdapoolSpec, Pooling, PoolingSpec, Query, Simpool};
pub use shared::SharedEncoder;
pub use soft_moe::{Slots, SoftMoe, SoftMoeSpec};
pub use spec::{ConvSpec, EncoderSettings, EncoderSpec, TokensSpec};
pub use token_mlp::{TokenMlp, TokenMlpSpec};
pub use tokens::{PositionEmbedding, TokenizationSpec, Tokenizer};
pub use transformer::{Transformer, TransformerSpec};

use sac_envs::Space;
use sac_policy::Value;

use crate::{
    error::{Error, Result},
    nn::{Activations, ParamLayout, Params, Tracer},
    noise::Stream,
};

/// A function that builds an encoder for an observation space and adds its parameters, named `encoder.…`, to a layout.
/// Policy and critic call it for their own parameter blocks.
pub type BuildEncoder = dyn Fn(&Space, &mut ParamLayout) -> Box<dyn Encoder>;

/// A map from observations `[B, …]` to features `[B, F]`.
pub trait Encoder: Send {
    /// F, the number of features.
    fn width(&self) -> i64;

    /// Features `[B, F]` of `obs` `[B, …]`. `params` are views of the block that the encoder was built into. Random
    /// noise is active only if there is a `stream`, which critics pass.
    fn encode(&self, params: &Params, obs: &Tensor, stream: Option<&mut Stream>) -> Tensor;

    /// Features `[B, F]` without noise. Records activations; an encoder without parameters records none.
    fn inspect(&self, params: &Params, obs: &Tensor, _activations: &mut Activations) -> Tensor {
        self.encode(params, obs, None)
    }

    /// Adds the encoder to a graph, without noise: features `[F]` of an observation.
    ///
    /// # Errors
    /// [`Error::NotExportable`] of an encoder that does not say what it computes; when a parameter is not finite.
    fn trace(&self, _tracer: &mut Tracer, _obs: Value) -> Result<Value> {
        Err(Error::NotExportable("this encoder".to_string()))
    }

    /// Multiply-adds for one sample.
    fn multiply_adds(&self) -> i64;

    /// Whether the features are the observation itself.
    fn is_identity(&self) -> bool {
        false
    }
}
