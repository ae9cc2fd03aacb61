//! The update of [`crate::soft_actor_critic`], derived by hand for perceptrons on a CPU.
//!
//! The reference update remains the definition. Every file here names the equations that it computes, and tests compare
//! it with the reference (`agents/tests/fused.rs` and unit tests). Which parts of an agent are fused is decided when it
//! is built (`plan.rs`), and is printed in the header of a run:
//!
//! | Part | Fused if |
//! |---|---|
//! | networks | fully connected, without normalisation, dropout and residual blocks ([`Perceptron`]) |
//! | policy head | a squashed Gaussian whose σ depends on the state and has bounds |
//! | critic's loss | `scalar` or `dsac_t`, and the critic has no encoder with parameters |
//! | actor's step | policy and critic are both fused |
//! | temperature | always |
//!
//! The other parts go through autograd, on fused networks if there are any.

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
