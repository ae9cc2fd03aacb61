//! [`Task`]: a task on a MuJoCo model, and the arguments of its methods.

use mujoco_rs::wrappers::mj_model::{MjModel, MjtObjBase};
use serde::{Serialize, de::DeserializeOwned};

use super::assets::ModelFiles;
use super::engine::Data;
use super::model::Welds;
use super::scene::Camera;
use crate::{EnvError, GoalLayout, Manual, NumpyRng, Space, Transition};

/// A task on a MuJoCo model: start states, rewards, observations.
///
/// [`super::MujocoSim`] turns it into a [`crate::Env`] and adds the simulation, seeding, checks of the order of calls,
/// and snapshots. The implementing type holds the options and nothing that changes.
pub trait Task: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Id in the registry.
    const ID: &'static str;
    /// The package of the model files.
    const MODEL_FILES: ModelFiles = ModelFiles::Gymnasium;
    /// What the model's welds hold in place.
    const WELDS: Welds = Welds::AsCompiled;

    /// Data about the model that the task uses: ids of bodies, masses. `()` if it needs none.
    type Parts: Send + Sync;

    /// The model file, and the number of simulation steps per control step.
    fn model(&self) -> ModelChoice<'_>;

    /// Checks the options.
    ///
    /// # Errors
    /// The first invalid option.
    fn check(&self) -> Result<(), BadOption>;

    /// Checks that the model suits the task and finds the parts that it uses.
    ///
    /// # Errors
    /// The first part that the model lacks.
    fn find_parts(&self, model: &MjModel) -> Result<Self::Parts, BadOption>;

    /// The manual page for these options, without the list of options.
    fn manual(&self) -> Manual;

    /// Whether rewards or observations use contact forces ([`Data::cfrc_ext`]), which need an extra computation.
    fn uses_contact_forces(&self) -> bool {
        false
    }

    /// The actions of the task; `None` for a model that has none. By default, the ranges of the model's actuators.
    fn action_space(&self, model: &MjModel) -> Option<Space> {
        let ranges = model.actuator_ctrlrange();
        let bounds = |i: usize| ranges.iter().map(|range| range[i] as f32).collect::<Vec<f32>>();
        (!ranges.is_empty()).then(|| Space::vector(bounds(0), bounds(1)))
    }

    /// Brings a new simulation from the model's start state to that of the task. By default, they are the same.
    ///
    /// # Errors
    /// A message of MuJoCo.
    fn prepare(&self, _parts: &mut Self::Parts, _data: &mut Data) -> Result<(), String> {
        Ok(())
    }

    /// Draws a start state. Both slices contain the task's start state at first.
    fn start(&self, parts: &Self::Parts, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]);

    /// Where the goals lie in an observation; `None` for a task without goals.
    fn goals(&self) -> Option<GoalLayout> {
        None
    }

    /// Draws the goal of an episode, after its start state. `goal` has the length of a goal.
    fn draw_goal(&self, _parts: &Self::Parts, _rng: &mut NumpyRng, _goal: &mut [f64]) {}

    /// Applies an action. By default, its numbers are the actuators' controls.
    fn act(&self, _parts: &Self::Parts, action: &[f32], data: &mut Data) {
        for (control, action) in data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(*action);
        }
    }

    /// Changes the state after a control step, before anything is observed. Returns whether it did, so that all derived
    /// quantities are computed again.
    fn correct(&self, _parts: &Self::Parts, _data: &mut Data) -> bool {
        false
    }

    /// Copies derived quantities that the next [`Task::act`] needs into the state, after every reset and every step. Some
    /// lag behind the state by one simulation step, so that they differ after a restore.
    fn keep(&self, _parts: &Self::Parts, _data: &mut Data) {}

    /// The point in the plane whose displacement is rewarded. It is evaluated after every step and stored until the
    /// next.
    fn tracked(&self, _parts: &Self::Parts, _data: &Data) -> [f64; 2] {
        [0.0; 2]
    }

    /// The reward of the step that was simulated, and whether it ended the episode.
    fn transition(&self, parts: &Self::Parts, step: &Step<'_>) -> Transition;

    /// Whether the task counts as solved after the step; `None` for a task that does not say.
    fn success(&self, _parts: &Self::Parts, _step: &Step<'_>) -> Option<bool> {
        None
    }

    /// The reward of a step after which `achieved` `[G]` is achieved where `desired` `[G]` is asked for, and whether it
    /// terminates. `None` for a task without goals.
    fn goal_outcome(&self, _achieved: &[f32], _desired: &[f32]) -> Option<Transition> {
        None
    }

    /// The camera for pictures.
    fn camera(&self) -> Camera {
        Camera::oblique(0.5, 4.0)
    }

    /// The place that an episode with this goal asks for, which pictures mark. `goal` is empty for a task without goals.
    fn target(&self, _goal: &[f64]) -> Option<[f64; 3]> {
        None
    }

    /// Writes the observation.
    fn observe(&self, parts: &Self::Parts, data: &Data, obs: &mut Observation<'_>);
}

/// The model file and time step of a task.
#[derive(Clone, Copy, Debug)]
pub struct ModelChoice<'a> {
    /// A path, or the name of one of Gymnasium's model files.
    pub xml_file: &'a str,
    /// Number of simulation steps per control step.
    pub frame_skip: u32,
}

/// A control step that was simulated.
pub struct Step<'a> {
    /// The state after the step.
    pub data: &'a Data,
    /// The action in the task's own units, not clipped.
    pub action: &'a [f32],
    /// [`Task::tracked`] before and after the step.
    pub tracked: [[f64; 2]; 2],
    /// Duration of the step: the simulation's time step times the frame skip.
    pub dt_s: f64,
    /// The goal of the episode; empty for a task without goals.
    pub goal: &'a [f64],
}

impl Step<'_> {
    /// Velocity of the tracked point along x, in its unit per second.
    pub fn x_velocity(&self) -> f64 {
        let [before, after] = self.tracked;
        (after[0] - before[0]) / self.dt_s
    }
}

/// Writer of an observation: takes its numbers in order and rounds them to single precision.
pub struct Observation<'a> {
    out: &'a mut [f32],
    goal: &'a [f64],
    /// Count of all numbers so far, including those that did not fit into `out`.
    count: usize,
}

impl<'a> Observation<'a> {
    /// A writer to `out` in an episode with this goal.
    pub(super) fn new(out: &'a mut [f32], goal: &'a [f64]) -> Self {
        Observation { out, goal, count: 0 }
    }

    /// Count of the numbers so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Adds a number.
    pub fn push(&mut self, number: f64) {
        self.extend(&[number]);
    }

    /// Adds the goal of the episode.
    pub fn push_goal(&mut self) {
        self.extend(self.goal);
    }

    /// Adds several numbers.
    pub fn extend(&mut self, numbers: &[f64]) {
        self.extend_with(numbers, |x| x);
    }

    /// Adds several numbers, each clipped to `[low, high]`.
    pub fn extend_clipped(&mut self, numbers: &[f64], low: f64, high: f64) {
        self.extend_with(numbers, |x| clip(x, low, high));
    }

    fn extend_with(&mut self, numbers: &[f64], change: impl Fn(f64) -> f64) {
        let end = self.count + numbers.len();
        if let Some(room) = self.out.get_mut(self.count..end) {
            for (slot, x) in room.iter_mut().zip(numbers) {
                *slot = change(*x) as f32;
            }
        }
        self.count = end;
    }
}

/// `np.clip` of a number that is not NaN. Unlike [`f64::clamp`], it accepts a lower bound above the upper bound.
pub(super) fn clip(x: f64, low: f64, high: f64) -> f64 {
    x.max(low).min(high)
}

/// The range of a reward without bounds.
pub(super) const ANY_REWARD: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The range of a reward that is the negative sum of costs with these weights. A negative weight makes a cost a gain.
pub(super) fn costs_only(weights: &[f64]) -> [f64; 2] {
    let most = if weights.iter().all(|weight| *weight >= 0.0) {
        0.0
    } else {
        f64::INFINITY
    };
    [f64::NEG_INFINITY, most]
}

/// Adds uniform noise between `-scale` and `scale`.
pub(super) fn add_uniform(rng: &mut NumpyRng, scale: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x += rng.uniform(-scale, scale));
}

/// Adds normal noise with this standard deviation.
pub(super) fn add_normal(rng: &mut NumpyRng, std: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x += std * rng.standard_normal());
}

/// An option with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption {
    /// The option's key.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl BadOption {
    /// This as an error of the environment `id`.
    pub(super) fn of(self, id: &str) -> EnvError {
        EnvError::Option {
            env: id.to_string(),
            option: self.option.to_string(),
            problem: self.problem,
        }
    }
}

/// Checks that a number is finite.
pub(super) fn check_finite(option: &'static str, value: f64) -> Result<(), BadOption> {
    if value.is_finite() {
        return Ok(());
    }
    let problem = format!("expected a finite number, found {value}");
    Err(BadOption { option, problem })
}

/// Checks that a number is finite and not negative, as a standard deviation must be.
pub(super) fn check_scale(option: &'static str, value: f64) -> Result<(), BadOption> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let problem = format!("expected a finite number that is not negative, found {value}");
    Err(BadOption { option, problem })
}

/// Checks that a lower bound is below its upper bound. Both may be infinite.
pub(super) fn check_range(option: &'static str, [low, high]: [f64; 2]) -> Result<(), BadOption> {
    if low < high {
        return Ok(());
    }
    let problem = format!("expected [low, high] with low < high, found [{low}, {high}]");
    Err(BadOption { option, problem })
}

/// Number of positions or velocities that a model must have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    /// The task reads this many; others are only observed.
    AtLeast(usize),
    /// The observation has a fixed length.
    Exactly(usize),
}

/// Checks that the model has the positions and velocities that the task needs.
pub(super) fn check_model(model: &MjModel, positions: Needs, velocities: Needs) -> Result<(), BadOption> {
    let wrong = |found: usize, needs: Needs, what: &str| match needs {
        Needs::AtLeast(n) if found < n => Some(format!("this task needs {n} {what} or more, the model has {found}")),
        Needs::Exactly(n) if found != n => Some(format!("this task needs {n} {what}, the model has {found}")),
        _ => None,
    };
    let sizes = model.ffi();
    let problem = wrong(sizes.nq as usize, positions, "positions (nq)")
        .or_else(|| wrong(sizes.nv as usize, velocities, "velocities (nv)"));
    match problem {
        Some(problem) => Err(unsuitable(problem)),
        None => Ok(()),
    }
}

/// The error for a model that does not suit the task.
pub(super) fn unsuitable(problem: String) -> BadOption {
    BadOption {
        option: "xml_file",
        problem,
    }
}

/// The number of the body with this name.
pub(super) fn body(model: &MjModel, name: &str) -> Result<usize, BadOption> {
    model
        .name_to_id(MjtObjBase::mjOBJ_BODY, name)
        .ok_or_else(|| unsuitable(format!("this task needs a body `{name}`, the model has none")))
}
