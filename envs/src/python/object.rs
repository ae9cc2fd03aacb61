//! [`PythonObject`]: an environment of an interpreter in this process.

use crate::Outcome;

/// A `gymnasium.Env` that this process holds, as rows of numbers: what [`HOSTED`] makes of it.
///
/// Errors are the exception with its traceback, or what is wrong with a returned value.
pub trait PythonObject: Send {
    /// Starts an episode and writes its first observation. With `generator`, the environment's generator has this state
    /// first.
    ///
    /// # Errors
    /// When Python raises.
    fn reset(&self, seed: Option<u64>, generator: Option<&str>, obs: &mut [f32]) -> Result<(), String>;

    /// The state that the environment's generator had before the last reset without a seed, if it has one of Gymnasium's.
    ///
    /// # Errors
    /// When Python raises.
    fn generator(&self) -> Result<Option<String>, String>;

    /// Makes a step and writes the observation.
    ///
    /// # Errors
    /// When Python raises.
    fn step(&self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, String>;

    /// What `count` steps earn with other goals: `data` as `Goals.outcomes` in `goals.py` takes it, and its answer. Asked
    /// only of an environment whose description has goals.
    ///
    /// # Errors
    /// When Python raises, or the object has no goals.
    fn goal_outcomes(&self, _count: usize, _data: &[u8]) -> Result<Vec<u8>, String> {
        Err("it has no goals".to_string())
    }

    /// A picture of the environment: width, height, and `[height, width, 3]` bytes.
    ///
    /// # Errors
    /// When Python raises.
    fn render(&self) -> Result<(u32, u32, Vec<u8>), String>;
}

/// The Python source of the class `Hosted`, which turns a `gymnasium.Env` into rows of numbers, of `explained`, which turns
/// an exception into a message, and of `make`, which makes an environment. Worker processes run the same source.
pub const HOSTED: &str = concat!(
    include_str!("spaces.py"),
    include_str!("goals.py"),
    include_str!("hosted.py"),
    include_str!("making.py"),
);
