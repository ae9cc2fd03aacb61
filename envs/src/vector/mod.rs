//! [`VecEnv`]: several copies of an environment, stepped together.

mod lane;
mod serial;
mod threaded;

use std::ops::Range;

use crate::{EnvError, GoalLayout, Space, Status, Warning};

pub use serial::Serial;
pub use threaded::Threaded;

/// Summary of a finished episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeSummary {
    /// Number of the environment, in `0..N`.
    pub env: usize,
    /// Sum of rewards.
    pub episode_return: f64,
    /// Number of steps.
    pub length: u64,
    /// How it ended.
    pub status: Status,
    /// Whether the task counted as solved after its last step; `None` for a task that does not say.
    pub success: Option<bool>,
}

/// Results of all environments after a reset or a step. `N` environments, `O` numbers per observation.
#[derive(Clone, Debug, Default)]
pub struct VecStep {
    /// `[N, O]`: the observation to act on next. After the end of an episode it is the first one of the next episode.
    pub obs: Vec<f32>,
    /// `[N, O]`: the true successor observation of the last step, also at the end of an episode.
    pub next_obs: Vec<f32>,
    /// `[N]`: reward of the last step of each environment.
    pub reward: Vec<f64>,
    /// `[N]`: status of the last step of each environment.
    pub status: Vec<Status>,
    /// The episodes that ended in the last call to `step`, in the order of their environments.
    pub finished: Vec<EpisodeSummary>,
}

/// `N` environments of one kind. At the end of an episode an environment is reset immediately, without a seed.
///
/// All implementations give the same results bit for bit for the same environments and seeds.
#[allow(clippy::len_without_is_empty)] // It is never empty.
pub trait VecEnv: Send {
    /// The number of environments N, at least 1.
    fn len(&self) -> usize;

    /// [`crate::Env::describe`] of one environment; all are of the same kind.
    fn describe(&self) -> String;

    /// The observation space of one environment.
    fn observation_space(&self) -> &Space;

    /// The action space of one environment.
    fn action_space(&self) -> &Space;

    /// [`crate::Env::stacked_frames`] of one environment.
    fn stacked_frames(&self) -> usize {
        1
    }

    /// [`crate::Env::goals`] of one environment.
    fn goals(&self) -> Option<&GoalLayout> {
        None
    }

    /// Resets every environment with its own seed (`seeds` has length N) and fills `current().obs`.
    ///
    /// # Errors
    /// When an environment fails.
    fn reset(&mut self, seeds: &[u64]) -> Result<&VecStep, EnvError>;

    /// Steps the environments `group` (a non-empty part of `0..N`) with `actions` `[group.len(), A]`. The results of
    /// the other environments do not change.
    ///
    /// # Errors
    /// When an environment fails. The error names the first one that failed. The rest of the group has been stepped,
    /// and [`VecEnv::current`] has the results; those of failed environments do not change.
    fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<&VecStep, EnvError>;

    /// The results of the last reset or step.
    fn current(&self) -> &VecStep;

    /// The warnings of all environments since they were made, added up by kind (see [`crate::Env::warnings`]). Not part
    /// of a snapshot.
    fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }

    /// One snapshot per environment. It includes the state that the vector environment keeps for each: return and
    /// length of the running episode, and the current results.
    ///
    /// # Errors
    /// When the state of an environment cannot be serialised.
    fn snapshot(&self) -> Result<Vec<Vec<u8>>, EnvError>;

    /// Restores the environments from what [`VecEnv::snapshot`] returned.
    ///
    /// # Errors
    /// When a snapshot is not one of its environment, or their number is not N.
    fn restore(&mut self, snapshots: &[Vec<u8>]) -> Result<(), EnvError>;
}
