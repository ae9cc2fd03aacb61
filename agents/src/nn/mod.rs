//! Neural networks: parameter blocks, layers, the multi-layer perceptron, Adam.

mod activation;
mod activations;
pub mod adam;
pub mod block;
pub mod init;
pub mod layout;
pub mod linear;
pub mod mlp;
pub mod params;
pub mod tracer;
pub mod trainable;

pub use activations::Activations;
pub use adam::{AdamSpec, LearningRateAnnealSpec, LearningRateCurve};
pub use block::ParamBlock;
pub use layout::{Init, InitialWeights, ParamIndex, ParamLayout};
pub use linear::{LayerNorm, Linear};
pub use mlp::{Body, BodySpec, Mlp};
pub use params::{Params, RecordedPass};
pub use sac_kernels::Activation;
pub use tracer::Tracer;
pub use trainable::Trainable;
