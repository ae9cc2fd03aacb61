//! Several copies of an environment, stepped together: [`VecEnv`].

mod lane;
mod serial;
mod threaded;

use std::ops::Range;

use crate::{EnvError, Space, Status};

pub use serial::Serial;
pub use threaded::Threaded;

/// A finished episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeSummary {
    /// Which environment, `0..N`.
    pub env: usize,
    /// Sum of raw rewards.
    pub episode_return: f64,
    /// Steps.
    pub length: u64,
    /// How it ended.
    pub status: Status,
}

/// What the vector environment shows after a reset or a step. `N` environments, `O` numbers per observation.
#[derive(Clone, Debug, Default)]
pub struct VecStep {
    /// `[N, O]`: what to act on next; where an episode ended, the first observation of the next one.
    pub obs: Vec<f32>,
    /// `[N, O]`: the true successor of the last step of each environment, whatever happened after it.
    pub next_obs: Vec<f32>,
    /// `[N]`: raw reward of the last step of each environment.
    pub reward: Vec<f64>,
    /// `[N]`: status of the last step of each environment.
    pub status: Vec<Status>,
    /// Episodes that ended in the last call to `step`, in the order of their environments.
    pub finished: Vec<EpisodeSummary>,
}

/// `N` environments of one kind. An environment whose episode ended is reset at once, unseeded.
///
/// Implementations must agree bit for bit when they hold the same environments with the same seeds.
#[allow(clippy::len_without_is_empty)] // It never is.
pub trait VecEnv: Send {
    /// N, at least 1.
    fn len(&self) -> usize;

    /// See [`crate::Env::describe`]; all environments are alike.
    fn describe(&self) -> String;

    /// Of one environment.
    fn observation_space(&self) -> &Space;

    /// Of one environment.
    fn action_space(&self) -> &Space;

    /// See [`crate::Env::stacked_frames`].
    fn stacked_frames(&self) -> usize {
        1
    }

    /// Resets every environment with its own seed (`seeds` has length N) and fills `current().obs`.
    ///
    /// # Errors
    /// When an environment fails.
    fn reset(&mut self, seeds: &[u64]) -> Result<&VecStep, EnvError>;

    /// Steps the environments `group` (a non-empty part of `0..N`) with `actions` `[group.len(), A]`. Entries of the
    /// other environments stay as they were.
    ///
    /// # Errors
    /// When an environment fails: the error names the first that did. The others of the group have taken their step,
    /// and [`VecEnv::current`] shows it; the entries of those that failed stay as they were.
    fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<&VecStep, EnvError>;

    /// What the last reset or step left.
    fn current(&self) -> &VecStep;

    /// One snapshot per environment, including what the vector environment itself remembers of each (the running
    /// episode's return and length, the current observation).
    ///
    /// # Errors
    /// When an environment cannot be written down.
    fn snapshot(&self) -> Result<Vec<Vec<u8>>, EnvError>;

    /// Takes back what [`VecEnv::snapshot`] wrote.
    ///
    /// # Errors
    /// When a snapshot does not fit, or there are not N of them.
    fn restore(&mut self, snapshots: &[Vec<u8>]) -> Result<(), EnvError>;
}
