//! The environment contract: [`Env`], [`Outcome`], [`Transition`], [`Status`].

use crate::render::{Frame, FrameSize};
use crate::{EnvError, GoalBatch, GoalLayout, Space};

/// State of an episode: running, or how it ended.
///
/// The two kinds of end mean different things to a learner. A *terminated* episode has no future reward; a *truncated*
/// one was cut off, so the value of its last observation must be bootstrapped. If both apply, `Terminated` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// The episode continues.
    Running,
    /// The task itself ended (goal reached, robot fallen).
    Terminated,
    /// The episode was cut off from outside (by a time limit).
    Truncated,
}

impl Status {
    /// True when the episode is over, for either reason.
    pub fn is_over(self) -> bool {
        self != Status::Running
    }
}

/// Result of one step, besides the observation.
///
/// Both flags exist, as in Gymnasium, because a task may end on the very step at which its time limit is reached;
/// [`Outcome::status`] combines them into the value that learning needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Raw reward of this step, in the task's own units.
    pub reward: f64,
    /// The task itself ended.
    pub terminated: bool,
    /// The episode was cut off from outside.
    pub truncated: bool,
    /// Whether the task counts as solved after this step; `None` for a task that does not say.
    pub success: Option<bool>,
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

/// What a task says about one step: its own part of an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// Reward in the task's own units.
    pub reward: f64,
    /// The task itself ended. A time limit is not an end of the task; it is a wrapper.
    pub terminated: bool,
}

/// The warnings of one kind that the engine behind an environment gave, such as MuJoCo's about an unstable simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The engine's name of the kind, such as `mjWARN_BADQACC`.
    pub kind: &'static str,
    /// Number of warnings of this kind since the environment was made.
    pub count: u64,
    /// The first of them, with the environment, step and episode.
    pub first: String,
}

impl Warning {
    /// Adds the warnings of another environment to `all`, kind by kind.
    pub(crate) fn merge(all: &mut Vec<Warning>, others: Vec<Warning>) {
        for other in others {
            match all.iter_mut().find(|known| known.kind == other.kind) {
                Some(known) => known.count += other.count,
                None => all.push(other),
            }
        }
    }
}

/// An environment. Object-safe and `Send`. The caller owns the buffers, so that stepping allocates no memory.
///
/// Most tasks should implement [`crate::Dynamics`] instead; [`crate::Simulated`] then adds seeding, buffers, checks of
/// the order of calls, and snapshots.
///
/// Observations are `f32`, flattened in row-major order to [`Space::len`] numbers; in a space of bytes (pixels) they
/// are whole numbers from 0 to 255. An action is also a slice of `f32`: the coordinates for a box, the index (one
/// number) for a discrete space.
pub trait Env: Send {
    /// The id with its wrappers, outermost first, such as `TimeLimit(200) > Pendulum-v1`.
    fn describe(&self) -> String;

    /// The space of the observations that `reset` and `step` write.
    fn observation_space(&self) -> &Space;

    /// The space of the actions that `step` takes, in the task's own units.
    fn action_space(&self) -> &Space;

    /// Number of frames that are stacked in an observation, oldest first along its first axis.
    ///
    /// With more than 1, each step drops the oldest frame, moves the others without changing a number, and adds one. A
    /// replay can then store each frame once. 1 makes no such promise.
    fn stacked_frames(&self) -> usize {
        1
    }

    /// Where the goals lie in an observation; `None` for a task without goals. A wrapper after which
    /// [`Env::goal_outcomes`] would not be the reward of a step has none either.
    fn goals(&self) -> Option<&GoalLayout> {
        None
    }

    /// The task's own reward, and whether it terminates, after each of n steps, given the goal that it achieved and the
    /// goal that is asked for. `outcomes` `[n]` holds what the steps gave when they were made; what depends on goals is
    /// replaced. For the goals of a step that was made this is its own outcome. Neither the state of the environment nor
    /// its random numbers change.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a task without goals, and for a batch that does not fit; or when the environment
    /// itself fails.
    fn goal_outcomes(&mut self, _batch: &GoalBatch, _outcomes: &mut [Transition]) -> Result<(), EnvError> {
        Err(EnvError::Unsupported {
            env: self.describe(),
            problem: "it has no goals".to_string(),
        })
    }

    /// Starts an episode and writes its first observation.
    ///
    /// With a seed, the environment's generator is seeded exactly as by Gymnasium's `reset(seed=…)`. Without one, the
    /// generator continues its stream; if it was never seeded, it starts from seed 0.
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

    /// The complete state of the environment, including its generator, as bytes for [`Env::restore`].
    ///
    /// # Errors
    /// When the state cannot be serialised.
    fn snapshot(&self) -> Result<Vec<u8>, EnvError>;

    /// Restores a state that [`Env::snapshot`] of the same environment returned. The trajectory from here on is then
    /// that from the snapshot on, bit for bit.
    ///
    /// # Errors
    /// When the bytes are not a snapshot of this environment; its state is then unchanged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError>;

    /// The warnings of the engine behind this environment since it was made, one entry per kind that occurred. They are
    /// not part of a snapshot. Wrappers pass on those of the environment inside.
    fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }

    /// A picture of the current state, or before the first reset of the start state of seed 0. The state does not
    /// change.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for an environment without a drawing, and for a size that [`FrameSize::check`]
    /// refuses.
    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        size.check(|| self.describe())?;
        Err(EnvError::Unsupported {
            env: self.describe(),
            problem: "it has no drawing".to_string(),
        })
    }
}

/// Checks that the spaces of an environment have no flaw. Wrappers and vector environments call this when they are
/// made.
///
/// # Errors
/// [`EnvError::Unsupported`].
pub(crate) fn check_spaces<E: Env + ?Sized>(env: &E) -> Result<(), EnvError> {
    if let Some(flaw) = env
        .goals()
        .and_then(|layout| layout.flaw(env.observation_space().len()))
    {
        return Err(EnvError::Unsupported {
            env: env.describe(),
            problem: format!("its goals have a flaw: {flaw}"),
        });
    }
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
    fn goals(&self) -> Option<&GoalLayout> {
        (**self).goals()
    }
    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        (**self).goal_outcomes(batch, outcomes)
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
    fn warnings(&self) -> Vec<Warning> {
        (**self).warnings()
    }
    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        (**self).render(size)
    }
}
