//! Soft Actor-Critic agents: policies, critics, replay, trainer, checkpoints.
//!
//! # Reading order
//!
//! 1. [`trainer`]: the training loop.
//! 2. [`soft_actor_critic`]: the update, with the equations in [`losses`].
//! 3. [`critic`], [`policy`], [`temperature`], [`replay`]: the parts of an agent.
//! 4. [`nn`], [`target`], [`noise`], [`schedule`], [`checkpoint`], [`log`]: what the parts are built from.
//!
//! [`fused`] computes the same updates faster on a CPU, and [`cuda_graph`] on a GPU. They are optimisations: the
//! algorithm can be understood without them.
//!
//! # Data path
//!
//! ```text
//! env → replay → batch → losses → optimiser → targets → log
//! ```
//!
//! # Shapes
//!
//! `N` environments, `B` batch size, `O` observation size, `A` action size, `F` features, `E` members of an ensemble,
//! `K` outputs of a member, `P` parameters. Tensors are `f32`. Log-probabilities are in nats, with respect to the
//! normalised action box `[-1, 1]^A`.

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
pub mod custom;
pub mod encoder;
pub mod error;
pub mod evaluate;
pub mod exploration;
pub mod fused;
pub mod inspect;
pub mod log;
pub mod losses;
pub mod memory;
pub mod metrics;
pub mod nn;
pub mod noise;
pub mod policy;
pub mod presets;
pub mod process;
pub mod regular_file;
pub mod replay;
pub mod report;
pub mod resets;
pub mod reward_scaling;
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
pub use replay::{HindsightSpec, HindsightStrategy, PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, Stacking};
pub use report::{MetricValue, Reduction, UpdateReport};
pub use schedule::{EnvSteps, Every, GradSteps, UpdateRatio};
pub use trainer::{Ending, Parts, SaveTo, Trainer};
pub use update_rule::{Due, Learner, UpdateRule};

/// Matrix products, a thread pool and elementary functions over slices.
pub use sac_kernels as kernels;
