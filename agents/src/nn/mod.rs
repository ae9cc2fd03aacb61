//! Networks: parameters in one block, the perceptron, its initial values, Adam.

pub mod activation;
pub mod adam;
pub mod body;
pub(crate) mod crew;
pub(crate) mod elementary;
pub mod explicit;
pub mod init;
pub mod layout;
pub mod linear;
pub(crate) mod numbers;
pub mod params;
pub mod precision;
mod product;

pub use activation::Activation;
pub use adam::{AdamSpec, Trainable};
pub use body::{BodySpec, Mlp};
pub use explicit::AutogradOnly;
pub use layout::{Init, InitialWeights, ParamIndex, ParamLayout};
pub use linear::{LayerNorm, Linear};
pub use params::{ParamBlock, Params};
pub use precision::{MatmulPrecision, Products};
