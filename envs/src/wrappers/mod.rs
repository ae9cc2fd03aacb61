//! Wrappers: each changes one thing about an [`crate::Env`], keeps to the contract, and shows up in `describe()`.
//!
//! The registry builds `RescaleAction > TimeLimit(n) > Checked > task`, outermost first:
//!
//! * [`Checked`] looks at everything that goes in and out, next to the task, where an error can be named best;
//! * [`TimeLimit`] cuts episodes off;
//! * [`RescaleAction`] turns normalised actions into the task's units, in this place and nowhere else;
//! * [`EpisodeStats`] adds up what an episode yielded; the vector environments use it too.

mod checked;
mod episode_stats;
mod rescale_action;
mod time_limit;

pub use checked::Checked;
pub use episode_stats::EpisodeStats;
pub use rescale_action::{RescaleAction, to_task_units};
pub use time_limit::TimeLimit;
