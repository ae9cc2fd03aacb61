//! The update of [`crate::soft_actor_critic`], with hand-written backward passes, for networks whose inputs are vectors, on a CPU.
//!
//! The reference update remains the definition. Every file here names the equations that it computes, and tests compare
//! it with the reference (`agents/tests/fused.rs` and unit tests). Which parts of an agent are fused is decided when it
//! is built (`plan.rs`), and is printed in the header of a run:
//!
//! | Part | Fused if |
//! |---|---|
//! | networks | fully connected (`dense.rs`), also with normalisation, dropout or residual blocks (`chain.rs`) |
//! | policy head | a squashed Gaussian whose σ depends on the state and has bounds |
//! | critic's loss | `scalar`, `dsac_t`, `quantile` or `categorical`, and the critic has no encoder with parameters |
//! | actor's step | policy and critic are both fused |
//! | temperature | always |
//!
//! The other parts go through autograd, on fused networks if there are any.

mod acting;
mod actor;
mod body;
mod categorical;
mod chain;
mod dense;
mod dsac_t;
mod layers;
mod plan;
mod quantile;
mod scalar;
mod squashed_gaussian;
mod temperature;
mod update;

pub(crate) use acting::Acting;
pub use body::FusedBody;
pub(crate) use body::body;
pub(crate) use plan::{Plan, head};
pub use update::FusedUpdate;
pub(crate) use update::acting;
