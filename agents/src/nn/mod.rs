//! Networks: parameters in one block, the perceptron, its initial values, Adam.

pub mod adam;
pub mod body;
pub mod init;
pub mod linear;
pub mod params;

pub use adam::{AdamSpec, Trainable};
pub use body::{Activation, BodySpec, Mlp};
pub use linear::{LayerNorm, Linear};
pub use params::{Init, ParamBlock, ParamIndex, ParamLayout, Params};
