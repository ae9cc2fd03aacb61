//! Tasks with goals, and how goals lie in observations.
//!
//! A task with goals observes three things, as the `GoalEnv` of Gymnasium-Robotics does: an observation in the narrow
//! sense, the goal that its state achieves (`achieved_goal`), and the goal that the episode asks for (`desired_goal`).
//! [`crate::Env::goals`] says where each lies in the flattened observation. [`crate::Env::goal_outcomes`] is the task's
//! own reward for any pair of goals, so that a replay can ask what a step would have earned under another goal.

mod layout;
mod outcomes;
mod point_reach;

use crate::EnvEntry;

pub use layout::{GoalBatch, GoalLayout};
pub(crate) use outcomes::judge;
pub use point_reach::{PointReach, PointState};

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    vec![point_reach::entry().with_family("goal")]
}
