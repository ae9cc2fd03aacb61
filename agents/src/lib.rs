//! Agents around Soft Actor-Critic.
//!
//! # Reading order
//!
//! [`trainer`] is the loop, [`soft_actor_critic`] the update with the equations in [`losses`]; then [`critic`], [`policy`],
//! [`temperature`], [`replay`], and the leaves [`nn`], [`target`], [`noise`], [`schedule`], [`checkpoint`], [`log`].
//! [`fused`] computes the same updates faster on a CPU, [`cuda_graph`] on a GPU; nobody has to read them to know what is
//! learned.
//!
//! # Data path
//!
//! ```text
//! env → replay → batch → losses → optimiser → targets → log
//! ```
//!
//! # Shapes
//!
//! `N` environments, `B` batch, `O` observation, `A` action, `F` features, `E` members of an ensemble, `K` outputs of a
//! member, `P` parameters. Tensors are `f32`. Log-probabilities are in nats, with respect to the normalised action box
//! `[-1, 1]^A`.

pub mod actor_critic;
pub mod agent;
mod agent_check;
pub mod agent_spec;
pub mod augmentation;
pub mod batch;
pub mod checkpoint;
pub mod compute;
pub mod critic;
pub mod cuda_graph;
pub mod encoder;
pub mod error;
pub mod evaluate;
pub mod fused;
pub mod inspect;
pub mod log;
pub mod losses;
pub mod metrics;
pub mod nn;
pub mod noise;
pub mod policy;
pub mod presets;
pub mod process;
pub mod replay;
pub mod report;
pub mod schedule;
mod slices;
pub mod soft_actor_critic;
pub mod spec_problems;
pub mod target;
pub mod temperature;
pub mod trainer;
pub mod update_rule;

pub use actor_critic::{AgentParts, SoftActorCritic};
pub use agent::{ActMode, Agent, Cost};
pub use agent_spec::{AgentSpec, DelaySpec, EncoderSharing, NextAction};
pub use batch::Batch;
pub use compute::{Compute, Implementation, MatmulPrecision};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, ObservationSample, evaluate, evaluate_sampling};
pub use inspect::Inspection;
pub use replay::{PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, Stacking};
pub use report::{MetricValue, Reduction, UpdateReport};
pub use schedule::{EnvSteps, Every, GradSteps, UpdateRatio};
pub use trainer::{Ending, Parts, SaveTo, Trainer};
pub use update_rule::{Due, Learner, UpdateRule};

/// Products, threads and elementary functions over slices.
pub use sac_kernels as kernels;
