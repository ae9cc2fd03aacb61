//! The update of [`crate::soft_actor_critic`], derived by hand for perceptrons on a CPU.
//!
//! Nothing here defines anything: every file names the equations that it computes, and tests hold it to them
//! (`agents/tests/fused.rs`, and the unit tests). What is fused for an agent is decided once, when it is built
//! ([`Plan`]), and printed in the header of a run:
//!
//! | Part | Fused where |
//! |---|---|
//! | networks | fully connected, without layer normalisation and dropout ([`Perceptron`]) |
//! | policy head | squashed Gaussian whose σ depends on the state |
//! | critic's loss | `scalar`, `dsac_t`, where the critic reads the observation as it is |
//! | actor's step | policy and critic both fused |
//! | temperature | always |
//!
//! What is not fused goes through autograd, on fused networks where there are any.

mod acting;
mod actor;
mod dense;
mod dsac_t;
mod perceptron;
mod plan;
mod scalar;
mod squashed_gaussian;
mod temperature;
mod update;

pub(crate) use acting::Acting;
pub use perceptron::Perceptron;
pub(crate) use perceptron::body;
pub(crate) use plan::{Plan, head};
pub use update::FusedUpdate;
pub(crate) use update::acting;
