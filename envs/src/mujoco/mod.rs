//! Gymnasium's eleven MuJoCo tasks and the Fetch tasks of Gymnasium-Robotics, bit for bit as in Gymnasium 1.4.0 and
//! Gymnasium-Robotics 1.4.2 with MuJoCo 3.17.0.
//!
//! Their model files are loaded at run time. `docs/parity.md` describes the comparison with Gymnasium. Each task
//! is one file with its options (fields of the task, with Gymnasium's names and defaults), its reward and observation
//! in Gymnasium's order of operations, and its manual page. Implement [`Task`] to write another one; [`MujocoSim`]
//! turns it into an [`crate::Env`].
//!
//! Observations are float64 in Gymnasium and `f32` here: the same numbers, rounded once. Rewards are float64 in both.
//!
//! Options that concern only Gymnasium's window (`default_camera_config`, `render_mode`, `width`, …) do not exist here.

mod ant;
mod assets;
mod engine;
mod entry;
pub mod fetch;
mod half_cheetah;
mod hopper;
mod humanoid;
mod humanoid_body;
mod humanoid_standup;
mod inverted_double_pendulum;
mod inverted_pendulum;
mod model;
mod numpy;
mod options;
mod pusher;
mod reacher;
mod rows;
mod scene;
mod sim;
mod swimmer;
mod task;
mod walker2d;

use crate::EnvEntry;

pub use ant::{Ant, AntParts, BodyRef};
pub use assets::ModelFiles;
pub use engine::Data;
pub use half_cheetah::HalfCheetah;
pub use hopper::Hopper;
pub use humanoid::{Humanoid, HumanoidParts};
pub use humanoid_standup::{HumanoidStandup, StandupParts};
pub use inverted_double_pendulum::InvertedDoublePendulum;
pub use inverted_pendulum::InvertedPendulum;
pub use pusher::{Pusher, PusherParts};
pub use reacher::{Reacher, ReacherParts};
pub use scene::{Camera, Follow};
pub use sim::{MujocoSim, OnWarning};
pub use swimmer::Swimmer;
pub use task::{BadOption, ModelChoice, Observation, Step, Task};
pub use walker2d::Walker2d;

/// The tasks on MuJoCo models, the simplest first in each family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    vec![
        inverted_pendulum::entry(),
        inverted_double_pendulum::entry(),
        reacher::entry(),
        pusher::entry(),
        swimmer::entry(),
        hopper::entry(),
        walker2d::entry(),
        half_cheetah::entry(),
        ant::entry(),
        humanoid::entry(),
        humanoid_standup::entry(),
    ]
    .into_iter()
    .chain(fetch::entries())
    .collect()
}
