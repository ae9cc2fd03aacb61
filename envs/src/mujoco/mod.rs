//! Gymnasium's eleven MuJoCo tasks, bit for bit as in Gymnasium 1.4.0 with MuJoCo 3.17.0.
//!
//! Gymnasium's own model files are loaded at run time; `docs/parity.md` says what was compared. Each task is one file:
//! its options (fields of the task, with Gymnasium's names and defaults), its reward and its observation in Gymnasium's
//! order of operations, and its manual page. [`Task`] is the way to write another one, [`MujocoSim`] makes an
//! [`crate::Env`] of it.
//!
//! Observations are float64 in Gymnasium and `f32` here: the same numbers, rounded once. Rewards are float64 in both.
//!
//! Options that only concern Gymnasium's window (`default_camera_config`, `render_mode`, `width`, …) do not exist here.

mod assets;
mod engine;
mod half_cheetah;
mod inverted_pendulum;
mod model;
mod numpy;
mod rows;
mod sim;
mod task;

use crate::EnvEntry;

pub use engine::Data;
pub use half_cheetah::HalfCheetah;
pub use inverted_pendulum::InvertedPendulum;
pub use sim::MujocoSim;
pub use task::{BadOption, ModelChoice, Observation, Step, Task};

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    vec![inverted_pendulum::entry(), half_cheetah::entry()]
}
