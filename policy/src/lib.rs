//! A trained policy without libtorch.
//!
//! `sac export` writes a policy as a safetensors file that holds everything that acting needs: what the policy computes,
//! from the raw observation to the action in the environment's own units, its weights, and recorded pairs of
//! observations and actions. This package reads it and acts: [`Policy`].
//!
//! ```no_run
//! // Not run: it needs a file that `sac export` wrote.
//! let mut policy = sac_policy::Policy::load("pendulum.safetensors")?;
//! println!("largest error of the self-test: {:e}", policy.self_test()?);
//! let torque_nm = policy.act(&[1.0, 0.0, 0.0])?;
//! # Ok::<(), sac_policy::Error>(())
//! ```
//!
//! # What a policy computes
//!
//! A [`Graph`] is a list of operations ([`Op`]) over named tensors. It is the one place that says what a network
//! computes outside of training: the networks of `sac-agents` translate themselves into it, [`Interpreter`] computes it
//! here, and the writers of ONNX and C translate it further. A [`Draft`] checks every operation against its inputs, so
//! that a graph that exists can be computed.
//!
//! # Bad input
//!
//! A file is taken whole or not at all. Whatever it holds, reading ends with an [`Error`] at worst: lengths, shapes,
//! the digest and every number are checked before anything is computed. Numbers of an observation have to be finite.

// For files that tests share with those of other packages.
#[cfg(test)]
extern crate self as sac_policy;

mod error;
mod export;
mod graph;
mod interpreter;
mod op;
mod policy;
mod shape;
mod space;
#[cfg(feature = "write")]
mod write;

pub use error::{Error, Result};
pub use export::{Export, Facts, SelfTest};
pub use graph::{Draft, Graph, Node, Noise, Tensor, Value};
pub use interpreter::Interpreter;
pub use op::{Arithmetic, Distribution, Fourier, Function, Op, Reduction};
pub use policy::{Policy, TOLERANCE, largest_error};
pub use sac_kernels::Activation;
pub use space::{Bounds, Dtype, Space};
#[cfg(feature = "write")]
pub use write::{CFiles, c_files, onnx_model};
