//! The environment contract: [`Env`], [`Outcome`], [`Status`].

use crate::render::{Frame, FrameSize};
use crate::{EnvError, Space};

/// Whether an episode goes on, and if not, why.
///
/// The difference decides what an agent may learn from the last step: a *terminated* episode has no future, a
/// *truncated* one would have gone on and its value must be bootstrapped. If both apply, `Terminated` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// The episode goes on.
    Running,
    /// The task itself ended (goal reached, robot fallen).
    Terminated,
    /// Somebody stopped looking (a time limit).
    Truncated,
}

impl Status {
    /// True when the episode is over, for either reason.
    pub fn is_over(self) -> bool {
        self != Status::Running
    }
}

/// What one step produced besides the observation.
///
/// Both flags are kept, as Gymnasium keeps them, because a task may end on the very step of its time limit;
/// [`Outcome::status`] folds them into the one thing that learning needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Raw reward of this step, in the task's own units.
    pub reward: f64,
    /// The task itself ended.
    pub terminated: bool,
    /// The episode was cut off from outside.
    pub truncated: bool,
}

impl Outcome {
    /// The two flags as one value; `Terminated` wins over `Truncated`.
    pub fn status(&self) -> Status {
        match (self.terminated, self.truncated) {
            (true, _) => Status::Terminated,
            (false, true) => Status::Truncated,
            (false, false) => Status::Running,
        }
    }
}

/// One environment. Object-safe and `Send`; buffers belong to the caller, so that stepping allocates nothing.
///
/// Most tasks should implement [`crate::Dynamics`] instead and let [`crate::Simulated`] supply seeding, buffers,
/// the order check and snapshots.
///
/// Observations are `f32`, flattened in row-major order to [`Space::len`] numbers; a space of bytes (pixels) promises
/// whole numbers from 0 to 255. An action is a slice of `f32` too: the coordinates for a box, the index (one number)
/// for a discrete space.
pub trait Env: Send {
    /// The id and the stack of wrappers around it, outermost first, such as `TimeLimit(200) > Pendulum-v1`.
    fn describe(&self) -> String;

    /// What `reset` and `step` write.
    fn observation_space(&self) -> &Space;

    /// What `step` accepts, in the task's own units.
    fn action_space(&self) -> &Space;

    /// How many pictures an observation shows in a row, oldest first along its first axis, of which a step adds one and
    /// drops the oldest. Whoever remembers observations may then remember each picture once. 1 promises nothing; more is
    /// promised only where every number of the older pictures is just moved.
    fn stacked_frames(&self) -> usize {
        1
    }

    /// Starts an episode and writes its first observation.
    ///
    /// With a seed the environment's generator starts afresh, exactly as Gymnasium's `reset(seed=…)`; without one it
    /// goes on in the same stream (and starts from seed 0 if there never was one).
    ///
    /// # Errors
    /// When the environment itself fails, or `obs` has the wrong length.
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError>;

    /// Advances by one control step and writes the successor observation.
    ///
    /// # Errors
    /// Before the first reset, after an episode's end, for an action of the wrong length, or when the environment
    /// itself fails.
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError>;

    /// Everything that changes while the environment runs, generator included, as bytes for [`Env::restore`].
    ///
    /// # Errors
    /// When the state cannot be written down.
    fn snapshot(&self) -> Result<Vec<u8>, EnvError>;

    /// Takes back a state that [`Env::snapshot`] of the same environment wrote. Stepping on from here equals stepping
    /// on from there, bit for bit.
    ///
    /// # Errors
    /// When the bytes are not such a state; the environment is then unchanged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError>;

    /// Draws the present state; before the first reset, the start of seed 0. Changes nothing.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for an environment that does not draw itself, and for a size without pixels or beyond
    /// reason.
    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        size.check(|| self.describe())?;
        Err(EnvError::Unsupported {
            env: self.describe(),
            problem: "it does not draw itself".to_string(),
        })
    }
}

/// Checks that the spaces of an environment have no flaw. Wrappers and vector environments call this when they are made.
///
/// # Errors
/// [`EnvError::Unsupported`].
pub(crate) fn check_spaces<E: Env + ?Sized>(env: &E) -> Result<(), EnvError> {
    for (which, space) in [("observation", env.observation_space()), ("action", env.action_space())] {
        if let Some(flaw) = space.flaw() {
            return Err(EnvError::Unsupported {
                env: env.describe(),
                problem: format!("its {which} space {space} has a flaw: {flaw}"),
            });
        }
    }
    Ok(())
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn describe(&self) -> String {
        (**self).describe()
    }
    fn observation_space(&self) -> &Space {
        (**self).observation_space()
    }
    fn action_space(&self) -> &Space {
        (**self).action_space()
    }
    fn stacked_frames(&self) -> usize {
        (**self).stacked_frames()
    }
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        (**self).reset(seed, obs)
    }
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        (**self).step(action, obs)
    }
    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        (**self).snapshot()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        (**self).restore(snapshot)
    }
    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        (**self).render(size)
    }
}
