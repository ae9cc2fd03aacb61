//! Neural networks: parameter blocks, layers, bodies, Adam.

mod activation;
mod activations;
pub mod adam;
pub mod block;
pub mod body;
mod body_spec;
mod constraints;
pub mod hypersphere;
pub mod init;
pub mod layout;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod params;
pub mod residual;
pub mod tracer;
pub mod trainable;

pub use activations::Activations;
pub use adam::{AdamSpec, LearningRateAnnealSpec, LearningRateCurve};
pub use block::ParamBlock;
pub use body::{Body, Operation, WithFeatures};
pub use body_spec::BodySpec;
pub use hypersphere::SimbaV2Spec;
pub use layout::{Init, InitialWeights, ParamIndex, ParamLayout};
pub use linear::{LayerNorm, Linear, MemberLinear};
pub use mlp::{Mlp, MlpSpec};
pub use norm::{BatchNorm, BatchNormSpec, NormPosition, RenormSpec};
pub use params::{Params, RecordedPass};
pub use residual::{BroNetSpec, FlashSpec, SimbaSpec};
pub use sac_kernels::Activation;
pub use tracer::Tracer;
pub use trainable::Trainable;
