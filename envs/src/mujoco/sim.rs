//! [`MujocoSim`]: a [`Task`] as an [`Env`].

use std::cell::RefCell;
use std::sync::Arc;

use mujoco_rs::wrappers::mj_data::{MjData, MjtState};
use mujoco_rs::wrappers::mj_model::MjModel;

use super::engine::{self, Call, Data, Warnings};
use super::model;
use super::scene;
use super::task::{BadOption, Observation, Step, Task};
use crate::goal::judge;
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, NumpyRng, Outcome, Space, Transition, Warning, snapshot};

/// Everything that determines how a simulation continues: positions, velocities, controls, the solver's warm start, …
const STATE: u32 = MjtState::mjSTATE_INTEGRATION as u32;

/// A [`Task`] as an [`Env`]: owns the generator and the simulation, checks the order of calls, takes snapshots.
///
/// Time limits and checks of actions are the work of [`crate::TimeLimit`] and [`crate::Checked`]; [`crate::Registry`]
/// combines all three. A warning of MuJoCo is counted (see [`Env::warnings`]) and the episode goes on, as in Gymnasium;
/// [`OnWarning::Error`] makes it an error. An error of MuJoCo ends the episode; a reset starts the next.
pub struct MujocoSim<T: Task> {
    task: T,
    parts: T::Parts,
    model: Arc<MjModel>,
    fingerprint: u64,
    data: Data,
    /// The task's start state, before anything is drawn.
    start: Start,
    frame_skip: u32,
    dt_s: f64,
    observation_space: Space,
    action_space: Space,
    goals: Option<GoalLayout>,
    memory: Memory,
    on_warning: OnWarning,
    warnings: Vec<Warning>,
    /// A second simulation for pictures, created with the first one.
    drawn: RefCell<Option<Data>>,
}

/// A state in which an episode can start.
struct Start {
    time_s: f64,
    position: Vec<f64>,
    velocity: Vec<f64>,
}

/// The effect of a warning of MuJoCo, such as one about an unstable simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnWarning {
    /// The episode goes on with the numbers that MuJoCo gives, as in Gymnasium. An unstable simulation goes on from the
    /// start state of the model, to which MuJoCo has reset it.
    #[default]
    Continue,
    /// The step is an error, and the episode is over.
    Error,
}

/// Everything that changes, except `data` and the warnings.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// `None` until the first reset.
    rng: Option<NumpyRng>,
    phase: Phase,
    /// From 1; 0 before the first reset.
    episode: u64,
    /// Control steps since the reset.
    step: u64,
    /// [`Task::tracked`] after the last step. It is stored, because some quantities that MuJoCo derives from the state
    /// lag behind it by one simulation step and differ after a restore.
    tracked: [f64; 2],
    /// The goal of the episode; empty for a task without goals.
    goal: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Phase {
    NotBegun,
    Running,
    Ended,
    Failed,
}

impl<T: Task> MujocoSim<T> {
    /// The environment of `task`. It needs a reset before the first step.
    ///
    /// # Errors
    /// [`EnvError::Option`] for an invalid option, and for a model file that is missing, that MuJoCo cannot load, or
    /// that does not have what the task needs.
    pub fn new(task: T) -> Result<Self, EnvError> {
        MujocoSim::try_new(task).map_err(|bad| bad.of(T::ID))
    }

    fn try_new(task: T) -> Result<Self, BadOption> {
        let unloadable = |problem: String| BadOption {
            option: "xml_file",
            problem,
        };
        let choice = task.model();
        let frame_skip = choice.frame_skip;
        if frame_skip == 0 {
            return Err(BadOption {
                option: "frame_skip",
                problem: "expected at least 1, found 0".to_string(),
            });
        }
        task.check()?;
        let (model, fingerprint) = model::load(T::MODEL_FILES, choice.xml_file, T::WELDS).map_err(unloadable)?;
        let no_actions = || unloadable("the model has no actuators".to_string());
        let action_space = task.action_space(&model).ok_or_else(no_actions)?;
        if let Some(flaw) = action_space.flaw() {
            return Err(unloadable(format!("the range of an actuator is wrong: {flaw}")));
        }
        let mut parts = task.find_parts(&model)?;
        let dt_s = model.ffi().opt.timestep * f64::from(frame_skip);
        let mut data = MjData::try_new(Arc::clone(&model)).map_err(|e| unloadable(e.to_string()))?;
        task.prepare(&mut parts, &mut data).map_err(unloadable)?;
        let goals = task.goals();
        let goal = vec![0.0; goals.as_ref().map_or(0, GoalLayout::goal_len)];
        let mut count = Observation::new(&mut [], &goal);
        task.observe(&parts, &data, &mut count);
        Ok(MujocoSim {
            observation_space: Space::unbounded(count.count()),
            action_space,
            goals,
            start: Start {
                time_s: data.time(),
                position: data.qpos().to_vec(),
                velocity: data.qvel().to_vec(),
            },
            task,
            parts,
            model,
            fingerprint,
            data,
            frame_skip,
            dt_s,
            memory: Memory {
                rng: None,
                phase: Phase::NotBegun,
                episode: 0,
                step: 0,
                tracked: [0.0; 2],
                goal,
            },
            on_warning: OnWarning::default(),
            warnings: Vec::new(),
            drawn: RefCell::new(None),
        })
    }

    /// Sets the effect of a warning.
    #[must_use]
    pub fn with_on_warning(mut self, on_warning: OnWarning) -> Self {
        self.on_warning = on_warning;
        self
    }

    /// The task's options.
    pub fn task(&self) -> &T {
        &self.task
    }

    /// Model and state of the simulation, for tests and drawings.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Ends the episode with an error at the current step.
    fn failed(&mut self, message: String) -> EnvError {
        self.memory.phase = Phase::Failed;
        self.here(message)
    }

    /// A message of MuJoCo at the current step.
    fn here(&self, message: String) -> EnvError {
        EnvError::Simulation {
            env: T::ID.to_string(),
            step: self.memory.step,
            episode: self.memory.episode,
            message,
        }
    }

    /// Runs calls of the episode and counts the warnings.
    fn simulate(&mut self, calls: &[Call]) -> Result<(), EnvError> {
        match engine::run(&mut self.data, calls) {
            Ok(warnings) if warnings.is_empty() => Ok(()),
            Ok(warnings) => self.warned(&warnings),
            Err(message) => Err(self.failed(message)),
        }
    }

    #[cold]
    fn warned(&mut self, warnings: &Warnings) -> Result<(), EnvError> {
        for (number, kind, count) in warnings.kinds() {
            match self.warnings.iter_mut().find(|known| known.kind == kind) {
                Some(known) => known.count += count,
                None => {
                    let first = self.here(warnings.text(number)).to_string();
                    self.warnings.push(Warning { kind, count, first });
                }
            }
        }
        match self.on_warning {
            OnWarning::Continue => Ok(()),
            OnWarning::Error => {
                let texts = warnings.kinds().map(|(number, ..)| warnings.text(number));
                let all: Vec<String> = texts.collect();
                Err(self.failed(all.join("; ")))
            }
        }
    }

    /// Sets the task's start state.
    fn put_start(&mut self) {
        self.data.set_time(self.start.time_s);
        self.data.qpos_mut().copy_from_slice(&self.start.position);
        self.data.qvel_mut().copy_from_slice(&self.start.velocity);
    }

    fn observe(&self, obs: &mut [f32]) {
        let obs = &mut Observation::new(obs, &self.memory.goal);
        self.task.observe(&self.parts, &self.data, obs);
    }

    /// Sets the state of the simulation; `state` has the parts of [`STATE`]. Warnings do not count: the step that led to
    /// this state gave them already.
    fn put_state(&mut self, state: &[f64]) -> Result<(), String> {
        engine::run(&mut self.data, &[Call::Reset])?;
        self.data.set_state(state, STATE).map_err(|e| e.to_string())?;
        // Computes the derived quantities, which may be read before the next step. That overwrites the solver's warm
        // start, so the state is set again.
        engine::run(&mut self.data, &[Call::Forward])?;
        self.data.set_state(state, STATE).map_err(|e| e.to_string())
    }
}

impl<T: Task> Env for MujocoSim<T> {
    fn describe(&self) -> String {
        T::ID.to_string()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn goals(&self) -> Option<&GoalLayout> {
        self.goals.as_ref()
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        let outcome = |achieved: &[f32], desired: &[f32], _: &[f32]| self.task.goal_outcome(achieved, desired);
        judge(self.goals.as_ref(), batch, outcomes, outcome).map_err(|problem| EnvError::Unsupported {
            env: T::ID.to_string(),
            problem,
        })
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.observation_space.check_len(T::ID, "observation", obs.len())?;
        let memory = &mut self.memory;
        if let Some(seed) = seed {
            memory.rng = Some(NumpyRng::new(seed));
        }
        (memory.episode, memory.step) = (memory.episode + 1, 0);
        self.simulate(&[Call::Reset])?;
        self.put_start();
        let rng = self.memory.rng.get_or_insert_with(|| NumpyRng::new(0));
        let (position, velocity) = state_mut(&mut self.data);
        self.task.start(&self.parts, rng, position, velocity);
        self.task.draw_goal(&self.parts, rng, &mut self.memory.goal);
        self.simulate(&[Call::Forward])?;
        self.task.keep(&self.parts, &mut self.data);
        self.memory.phase = Phase::Running;
        self.memory.tracked = self.task.tracked(&self.parts, &self.data);
        self.observe(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.action_space.check_len(T::ID, "action", action.len())?;
        self.observation_space.check_len(T::ID, "observation", obs.len())?;
        let when = match self.memory.phase {
            Phase::Running => None,
            Phase::NotBegun => Some("before the first reset"),
            Phase::Ended => Some("after the episode ended"),
            Phase::Failed => Some("after the simulation failed"),
        };
        if let Some(when) = when {
            let env = T::ID.to_string();
            return Err(EnvError::ResetNeeded { env, when });
        }
        self.memory.step += 1;
        self.task.act(&self.parts, action, &mut self.data);
        let calls = [Call::Step(self.frame_skip), Call::ContactForces];
        let needed = if self.task.uses_contact_forces() { 2 } else { 1 };
        self.simulate(&calls[..needed])?;
        if self.task.correct(&self.parts, &mut self.data) {
            self.simulate(&[Call::Forward])?;
        }
        self.task.keep(&self.parts, &mut self.data);
        let before = self.memory.tracked;
        let after = self.task.tracked(&self.parts, &self.data);
        self.memory.tracked = after;
        self.observe(obs);
        let step = Step {
            data: &self.data,
            action,
            tracked: [before, after],
            dt_s: self.dt_s,
            goal: &self.memory.goal,
        };
        let Transition { reward, terminated } = self.task.transition(&self.parts, &step);
        if terminated {
            self.memory.phase = Phase::Ended;
        }
        Ok(Outcome {
            reward,
            terminated,
            truncated: false,
            success: self.task.success(&self.parts, &step),
        })
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        // In a second simulation, because computing positions would change derived quantities of the first.
        let mut drawn = self.drawn.borrow_mut();
        let unable = |problem: String| EnvError::Unsupported {
            env: T::ID.to_string(),
            problem,
        };
        if drawn.is_none() {
            *drawn = Some(MjData::try_new(Arc::clone(&self.model)).map_err(|e| unable(e.to_string()))?);
        }
        let Some(drawn) = drawn.as_mut() else {
            return Err(unable("the simulation could not be copied".to_string()));
        };
        drawn.qpos_mut().copy_from_slice(self.data.qpos());
        drawn.mocap_pos_mut().copy_from_slice(self.data.mocap_pos());
        drawn.mocap_quat_mut().copy_from_slice(self.data.mocap_quat());
        engine::run(drawn, &[Call::Kinematics]).map_err(unable)?;
        let target = self.task.target(&self.memory.goal);
        scene::scene(&self.model, drawn, &self.task.camera(), target).draw(size, || T::ID.to_string())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.warnings.clone()
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(T::ID, &(self.fingerprint, &self.memory, self.data.state(STATE)))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let (fingerprint, memory, state): (u64, Memory, Vec<f64>) = snapshot::decode(T::ID, bytes)?;
        let current = self.data.state(STATE);
        let refuse = |problem: String| EnvError::Snapshot {
            env: T::ID.to_string(),
            problem,
        };
        if fingerprint != self.fingerprint || state.len() != current.len() {
            return Err(refuse(format!(
                "it was taken with another model than {} holds now",
                self.task.model().xml_file
            )));
        }
        if let Err(problem) = self.put_state(&state) {
            self.put_state(&current).map_err(|message| self.failed(message))?;
            return Err(refuse(problem));
        }
        self.memory = memory;
        Ok(())
    }
}

/// Mutable positions and velocities.
fn state_mut(data: &mut Data) -> (&mut [f64], &mut [f64]) {
    let (nq, nv) = (data.qpos().len(), data.qvel().len());
    // SAFETY: the two arrays do not overlap, have `nq` and `nv` numbers, and live as long as `data`.
    unsafe {
        let raw = data.ffi_mut();
        (
            std::slice::from_raw_parts_mut(raw.qpos, nq),
            std::slice::from_raw_parts_mut(raw.qvel, nv),
        )
    }
}
