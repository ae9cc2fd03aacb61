//! How to write a task on a MuJoCo model: [`Task`] and what it is handed.

use mujoco_rs::wrappers::mj_model::{MjModel, MjtObjBase};
use serde::{Serialize, de::DeserializeOwned};

use super::engine::Data;
use super::scene::Camera;
use crate::{EnvError, Manual, NumpyRng, Transition};

/// A task on a MuJoCo model: where it starts, what is rewarded, what is seen of it.
///
/// [`MujocoSim`] turns it into a [`crate::Env`] and adds the simulation, seeding, the order check and snapshots. The
/// implementing type holds the options and nothing that changes.
pub trait Task: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Id in the registry.
    const ID: &'static str;

    /// What the task needs to know of its model: ids of bodies, masses. `()` where the options say everything.
    type Parts: Send + Sync;

    /// The model file, and how many steps of the simulation a control step takes.
    fn model(&self) -> ModelChoice<'_>;

    /// Looks at the options.
    ///
    /// # Errors
    /// The first that cannot be.
    fn check(&self) -> Result<(), BadOption>;

    /// Looks at the model that the user chose.
    ///
    /// # Errors
    /// What the task needs and the model does not have.
    fn find_parts(&self, model: &MjModel) -> Result<Self::Parts, BadOption>;

    /// The manual page under these options, without a list of them.
    fn manual(&self) -> Manual;

    /// Whether rewards or observations use contact forces ([`Data::cfrc_ext`]), which cost an extra computation.
    fn uses_contact_forces(&self) -> bool {
        false
    }

    /// Draws a start state. Both slices hold the model's own start state.
    fn start(&self, rng: &mut NumpyRng, position: &mut [f64], velocity: &mut [f64]);

    /// The point in the plane whose displacement is rewarded; it is asked for after every step and remembered until the
    /// next.
    fn tracked(&self, _parts: &Self::Parts, _data: &Data) -> [f64; 2] {
        [0.0; 2]
    }

    /// The reward of a step that has just been simulated.
    fn transition(&self, parts: &Self::Parts, step: &Step<'_>) -> Transition;

    /// From where it is looked at.
    fn camera(&self) -> Camera {
        Camera::oblique(0.5, 4.0)
    }

    /// Writes the observation.
    fn observe(&self, parts: &Self::Parts, data: &Data, obs: &mut Observation<'_>);
}

/// The model file and time step of a task.
#[derive(Clone, Copy, Debug)]
pub struct ModelChoice<'a> {
    /// A path, or the name of one of Gymnasium's model files.
    pub xml_file: &'a str,
    /// Steps of the simulation per control step.
    pub frame_skip: u32,
}

/// A step that has just been simulated.
pub struct Step<'a> {
    /// The state after it.
    pub data: &'a Data,
    /// As given, in the task's own units, not clipped.
    pub action: &'a [f32],
    /// [`Task::tracked`] before it and after it.
    pub tracked: [[f64; 2]; 2],
    /// How long it took: the simulation's time step times the frame skip.
    pub dt_s: f64,
}

impl Step<'_> {
    /// Speed of the tracked point along x, in its unit per second.
    pub fn x_velocity(&self) -> f64 {
        let [before, after] = self.tracked;
        (after[0] - before[0]) / self.dt_s
    }
}

/// Takes the numbers of an observation in order, and rounds them to single precision.
pub struct Observation<'a> {
    out: &'a mut [f32],
    /// How many numbers came so far, whether or not there was room for them.
    count: usize,
}

impl<'a> Observation<'a> {
    /// Writes to `out`.
    pub(super) fn new(out: &'a mut [f32]) -> Self {
        Observation { out, count: 0 }
    }

    /// How many numbers came so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One number.
    pub fn push(&mut self, number: f64) {
        self.extend(&[number]);
    }

    /// Several numbers.
    pub fn extend(&mut self, numbers: &[f64]) {
        self.extend_with(numbers, |x| x);
    }

    /// Several numbers, each kept within `[low, high]`.
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

/// `np.clip` of a number that is not NaN; unlike [`f64::clamp`] it takes bounds that cross.
pub(super) fn clip(x: f64, low: f64, high: f64) -> f64 {
    x.max(low).min(high)
}

/// The range of a reward that grows with a speed or a height.
pub(super) const ANY_REWARD: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The range of a reward that is minus a sum of costs with these weights: a negative weight makes it a gain.
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

/// Adds normal noise of this standard deviation.
pub(super) fn add_normal(rng: &mut NumpyRng, std: f64, x: &mut [f64]) {
    x.iter_mut().for_each(|x| *x += std * rng.standard_normal());
}

/// An option whose value cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption {
    /// Its key.
    pub option: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl BadOption {
    /// As an error of the environment `id`.
    pub(super) fn of(self, id: &str) -> EnvError {
        EnvError::Option {
            env: id.to_string(),
            option: self.option.to_string(),
            problem: self.problem,
        }
    }
}

/// Any finite number.
pub(super) fn check_finite(option: &'static str, value: f64) -> Result<(), BadOption> {
    if value.is_finite() {
        return Ok(());
    }
    let problem = format!("expected a finite number, found {value}");
    Err(BadOption { option, problem })
}

/// A standard deviation or half a width.
pub(super) fn check_scale(option: &'static str, value: f64) -> Result<(), BadOption> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let problem = format!("expected a finite number that is not negative, found {value}");
    Err(BadOption { option, problem })
}

/// Two bounds, which may be infinite.
pub(super) fn check_range(option: &'static str, [low, high]: [f64; 2]) -> Result<(), BadOption> {
    if low < high {
        return Ok(());
    }
    let problem = format!("expected [low, high] with low < high, found [{low}, {high}]");
    Err(BadOption { option, problem })
}

/// How many numbers the model's state must have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    /// The task reads this many and uses any others as they come.
    AtLeast(usize),
    /// The observation has a fixed length.
    Exactly(usize),
}

/// Whether the model has the positions and velocities that the task reads.
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

/// A model that the task cannot be played with.
pub(super) fn unsuitable(problem: String) -> BadOption {
    BadOption {
        option: "xml_file",
        problem,
    }
}

/// The number of the body of this name.
pub(super) fn body(model: &MjModel, name: &str) -> Result<usize, BadOption> {
    model
        .name_to_id(MjtObjBase::mjOBJ_BODY, name)
        .ok_or_else(|| unsuitable(format!("this task needs a body `{name}`, the model has none")))
}
