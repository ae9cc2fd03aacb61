//! Wrappers: each changes one thing about an [`crate::Env`], keeps to the contract, and shows up in `describe()`.
//!
//! The registry builds `RescaleAction > TimeLimit(n) > Checked > task`, outermost first:
//!
//! * [`Checked`] looks at everything that goes in and out, next to the task, where an error can be named best;
//! * [`TimeLimit`] cuts episodes off;
//! * [`RescaleAction`] turns normalised actions into the task's units, in this place and nowhere else;
//! * [`EpisodeStats`] adds up what an episode yielded; the vector environments use it too.
//!
//! Between [`RescaleAction`] and [`TimeLimit`] go those that a configuration asks for, see [`WrapperSpec`]:
//! [`ObservationNoise`], [`ActionNoise`], [`RewardScale`], [`ActionDelay`], [`ActionRepeat`], [`FrameStack`],
//! [`Pixels`].
//!
//! Noise comes from a generator of the wrapper's own, so that the task draws the same numbers with and without it. A
//! reset with seed `s` starts the generator of the wrapper with number `n` as `NumpyRng::new(mix(s + (n + 1) ·
//! 0x9e3779b97f4a7c15))`, sums and products modulo 2⁶⁴, where `mix` is the finaliser of SplitMix64 (G. Steele, D. Lea
//! and C. Flood 2014). A reset without a seed goes on in the stream.

mod action_delay;
mod action_noise;
mod action_repeat;
mod checked;
mod episode_stats;
mod frame_stack;
mod observation_noise;
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
pub use pixels::Pixels;
pub use rescale_action::{RescaleAction, to_task_units};
pub use reward_scale::RewardScale;
pub use spec::WrapperSpec;
pub use time_limit::TimeLimit;
