//! Policies: [`Policy`] is an encoder, a body and a distribution over actions ([`PolicyHead`]).

mod action;
pub mod categorical;
pub mod discrete;
pub mod fourier;
pub mod gsde;
pub mod gumbel;
mod head;
mod network;
pub mod optimist;
mod spec;
pub mod squashed_gaussian;

pub use action::{ActionDraw, ActionKind, Actions, expectation};
pub use categorical::{Categorical, CategoricalSpec};
pub use fourier::{FourierHead, FourierSpec};
pub use gsde::StateDependentNoise;
pub use gumbel::{Gumbel, GumbelSpec};
pub use head::PolicyHead;
pub use network::{Policy, PolicyEncoder};
pub use optimist::{Gaussian, Optimist};
pub use spec::{HeadSettings, PolicySpec};
pub use squashed_gaussian::{LogStdBounds, SquashedGaussian, SquashedGaussianSpec, StdSource};
