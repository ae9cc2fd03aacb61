//! Agents around Soft Actor-Critic.
//!
//! # Reading order
//!
//! [`trainer`] is the loop, [`soft_actor_critic`] the update; then [`critic`], [`policy`], [`temperature`],
//! [`replay`], and the leaves [`nn`], [`backup`], [`target`], [`noise`], [`schedule`], [`checkpoint`], [`log`].
//!
//! # Data path
//!
//! ```text
//! env → replay → batch → losses → optimiser → targets → log
//! ```
//!
//! # Shapes
//!
//! `N` environments, `B` batch, `O` observation, `A` action, `F` features, `E` members of an ensemble, `P` parameters, `R`
//! replicates, which is 1 unless they are stacked ([`soft_actor_critic::stack`]).
//! Tensors are `f32`. Log-probabilities are in nats, with respect to the normalised action box `[-1, 1]^A`.

pub mod agent;
pub mod augmentation;
pub mod backup;
pub mod batch;
pub mod checkpoint;
pub mod critic;
pub mod encoder;
pub mod error;
pub mod evaluate;
pub mod graph;
pub mod inspect;
pub mod log;
pub mod metrics;
pub mod nn;
pub mod noise;
pub mod policy;
pub mod presets;
pub mod process;
pub mod replay;
pub mod schedule;
pub mod soft_actor_critic;
pub mod spec_check;
pub mod target;
pub mod temperature;
pub mod trainer;

pub use agent::{ActMode, Agent, Cost, Found, UpdateReport};
pub use batch::Batch;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, ObservationSample, evaluate, evaluate_sampling};
pub use inspect::Inspection;
pub use replay::{PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, Stacking};
pub use schedule::{EnvSteps, Every, GradSteps, UpdateRatio};
pub use soft_actor_critic::{AgentSpec, SoftActorCritic, Stack};
pub use trainer::{Ending, Parts, SaveTo, Trainer};
