//! Wrappers. Each changes one aspect of an [`crate::Env`], keeps its contract, and appears in `describe()`.
//!
//! For an agent the registry builds `RescaleAction > TimeLimit(n) > Checked > task`, outermost first, and
//! [`OneHotObservation`] around that for discrete observations:
//!
//! * [`Checked`] checks actions, observations and rewards directly at the task;
//! * [`TimeLimit`] truncates episodes;
//! * [`RescaleAction`] converts the actions of an agent to the task's units; nothing else does;
//! * [`OneHotObservation`] converts discrete observations to vectors for an agent;
//! * [`EpisodeStats`] sums the rewards and counts the steps of an episode; vector environments add it.
//!
//! The wrappers of a configuration ([`WrapperSpec`]) go between [`TimeLimit`] and [`RescaleAction`]:
//! [`ObservationNoise`], [`ActionNoise`], [`RewardScale`], [`ActionDelay`], [`ActionRepeat`], [`FrameStack`],
//! [`Pixels`].
//!
//! Wrappers that draw noise have generators of their own, so that the task's random numbers do not depend on them. A
//! reset with seed `s` seeds the generator of wrapper number `n` as `NumpyRng::new(mix(s + (n + 1) ·
//! 0x9e3779b97f4a7c15))`. Sums and products are modulo 2⁶⁴, and `mix` is the finaliser of SplitMix64 (G. Steele, D. Lea
//! and C. Flood 2014). A reset without a seed continues the stream.

mod action_delay;
mod action_noise;
mod action_repeat;
mod checked;
mod episode_stats;
mod frame_stack;
mod observation_noise;
mod one_hot_observation;
mod pixels;
mod rescale_action;
mod reward_scale;
mod spec;
mod stream;
mod time_limit;

pub use action_delay::ActionDelay;
pub use action_noise::ActionNoise;
pub use action_repeat::ActionRepeat;
pub use checked::Checked;
pub use episode_stats::EpisodeStats;
pub use frame_stack::FrameStack;
pub use observation_noise::ObservationNoise;
pub use one_hot_observation::{OneHotObservation, agent_observation_space, to_agent_units};
pub use pixels::Pixels;
pub use rescale_action::{RescaleAction, to_task_units};
pub use reward_scale::RewardScale;
pub use spec::WrapperSpec;
pub use time_limit::TimeLimit;
