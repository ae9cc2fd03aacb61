//! [`Dynamics`]: a task as pure functions, and [`Simulated`]: the [`crate::Env`] made of it.

use serde::{Serialize, de::DeserializeOwned};

use crate::goal::judge;
use crate::render::{Frame, FrameSize, Scene};
use crate::{Env, EnvError, GoalBatch, GoalLayout, NumpyRng, Outcome, Space, Transition, snapshot};

/// A task as mathematics: start states, transitions, observations.
///
/// [`crate::Simulated`] turns it into an [`crate::Env`] and adds seeding, checks of the order of calls, and snapshots.
/// The implementing type holds the task's parameters; everything that changes is in [`Dynamics::State`].
///
/// ```
/// use sac_envs::{Dynamics, NumpyRng, Space, Transition};
///
/// /// A point on a line that should come to rest at zero.
/// #[derive(Default)]
/// struct DoubleIntegrator;
///
/// impl Dynamics for DoubleIntegrator {
///     type State = (f64, f64); // position in m, speed in m/s
///     fn observation_space(&self) -> Space {
///         Space::unbounded(2)
///     }
///     fn action_space(&self) -> Space {
///         Space::boxed(1, -1.0, 1.0)
///     }
///     fn initial(&self, rng: &mut NumpyRng) -> Self::State {
///         (rng.uniform(-1.0, 1.0), 0.0)
///     }
///     fn step(&self, state: &mut Self::State, action: &[f32], _rng: &mut NumpyRng) -> Transition {
///         let dt_s = 0.1;
///         state.1 += f64::from(action[0]) * dt_s;
///         state.0 += state.1 * dt_s;
///         Transition { reward: -state.0 * state.0, terminated: state.0.abs() > 5.0 }
///     }
///     fn observe(&self, state: &Self::State, obs: &mut [f32]) {
///         obs.copy_from_slice(&[state.0 as f32, state.1 as f32]);
///     }
/// }
/// ```
pub trait Dynamics: Send {
    /// Everything that changes within an episode.
    type State: Clone + Send + Serialize + DeserializeOwned;

    /// The space of the observations that [`Dynamics::observe`] writes.
    fn observation_space(&self) -> Space;

    /// The space of the actions that [`Dynamics::step`] takes.
    fn action_space(&self) -> Space;

    /// Draws a start state.
    fn initial(&self, rng: &mut NumpyRng) -> Self::State;

    /// Draws a start state and stores it in `state`, with the same draws and result as [`Dynamics::initial`]. Implement
    /// it for states that own memory, so that a reset allocates none.
    fn restart(&self, state: &mut Self::State, rng: &mut NumpyRng) {
        *state = self.initial(rng);
    }

    /// Advances `state` by one control step. `action` has the length of the action space, in the task's own units.
    fn step(&self, state: &mut Self::State, action: &[f32], rng: &mut NumpyRng) -> Transition;

    /// Writes the observation of `state`. `obs` has the length of the observation space; every number must be written.
    fn observe(&self, state: &Self::State, obs: &mut [f32]);

    /// Where the goals lie in an observation; `None` for a task without goals.
    fn goals(&self) -> Option<GoalLayout> {
        None
    }

    /// The reward of a step after which `achieved` `[G]` is achieved where `desired` `[G]` is asked for, and whether it
    /// terminates. `info` `[I]` is the part `observation` of what is observed then. `None` for a task without goals.
    fn goal_outcome(&self, _achieved: &[f32], _desired: &[f32], _info: &[f32]) -> Option<Transition> {
        None
    }

    /// Whether the task counts as solved in `state`; `None` for a task that does not say.
    fn success(&self, _state: &Self::State) -> Option<bool> {
        None
    }

    /// A drawing of `state`. With `None`, the observation is drawn as bars.
    fn scene(&self, _state: &Self::State) -> Option<Scene> {
        None
    }
}

/// [`Dynamics`] as an [`Env`]: owns the generator and the state, checks the order of calls, takes snapshots.
///
/// Time limits and checks for NaN are the work of [`crate::TimeLimit`] and [`crate::Checked`]. [`crate::Registry`]
/// combines all three.
pub struct Simulated<D: Dynamics> {
    id: String,
    dynamics: D,
    observation_space: Space,
    action_space: Space,
    goals: Option<GoalLayout>,
    memory: Memory<D::State>,
}

/// Everything that changes; the content of a snapshot.
#[derive(serde::Serialize, serde::Deserialize)]
struct Memory<S> {
    /// `None` until the first reset.
    rng: Option<NumpyRng>,
    episode: Episode<S>,
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Episode<S> {
    NotBegun,
    Running(S),
    Ended(S),
}

impl<D: Dynamics> Simulated<D> {
    /// An environment named `id` with these dynamics. It needs a reset before the first step.
    pub fn new(id: impl Into<String>, dynamics: D) -> Self {
        Simulated {
            id: id.into(),
            observation_space: dynamics.observation_space(),
            action_space: dynamics.action_space(),
            goals: dynamics.goals(),
            dynamics,
            memory: Memory {
                rng: None,
                episode: Episode::NotBegun,
            },
        }
    }

    /// The task's parameters.
    pub fn dynamics(&self) -> &D {
        &self.dynamics
    }

    /// The task's state; `None` before the first reset. For tests and drawings.
    pub fn state(&self) -> Option<&D::State> {
        match &self.memory.episode {
            Episode::NotBegun => None,
            Episode::Running(state) | Episode::Ended(state) => Some(state),
        }
    }

    #[cold]
    fn reset_needed(&self) -> EnvError {
        EnvError::ResetNeeded {
            env: self.id.clone(),
            when: match self.memory.episode {
                Episode::Ended(_) => "after the episode ended",
                Episode::NotBegun | Episode::Running(_) => "before the first reset",
            },
        }
    }

    /// A drawing of the observation as bars.
    fn bars(&self, state: &D::State) -> Scene {
        let mut obs = vec![0.0; self.observation_space.len()];
        self.dynamics.observe(state, &mut obs);
        match &self.observation_space {
            Space::Box { low, high, .. } => Scene::bars(&obs, low, high),
            Space::Discrete { n } => Scene::bars(&obs, &[0.0], &[*n as f32]),
            Space::MultiDiscrete { n } => {
                let high: Vec<f32> = n.iter().map(|n| *n as f32).collect();
                Scene::bars(&obs, &vec![0.0; n.len()], &high)
            }
        }
    }
}

impl<D: Dynamics> Env for Simulated<D> {
    fn describe(&self) -> String {
        self.id.clone()
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
        let outcome =
            |achieved: &[f32], desired: &[f32], info: &[f32]| self.dynamics.goal_outcome(achieved, desired, info);
        judge(self.goals.as_ref(), batch, outcomes, outcome).map_err(|problem| EnvError::Unsupported {
            env: self.id.clone(),
            problem,
        })
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.observation_space.check_len(&self.id, "observation", obs.len())?;
        if let Some(seed) = seed {
            self.memory.rng = Some(NumpyRng::new(seed));
        }
        let rng = self.memory.rng.get_or_insert_with(|| NumpyRng::new(0));
        let state = match std::mem::replace(&mut self.memory.episode, Episode::NotBegun) {
            Episode::NotBegun => self.dynamics.initial(rng),
            Episode::Running(mut state) | Episode::Ended(mut state) => {
                self.dynamics.restart(&mut state, rng);
                state
            }
        };
        self.dynamics.observe(&state, obs);
        self.memory.episode = Episode::Running(state);
        Ok(())
    }

    #[inline(always)]
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.action_space.check_len(&self.id, "action", action.len())?;
        self.observation_space.check_len(&self.id, "observation", obs.len())?;
        let (Episode::Running(state), Some(rng)) = (&mut self.memory.episode, &mut self.memory.rng) else {
            return Err(self.reset_needed());
        };
        let Transition { reward, terminated } = self.dynamics.step(state, action, rng);
        self.dynamics.observe(state, obs);
        let success = self.dynamics.success(state);
        if terminated {
            let running = std::mem::replace(&mut self.memory.episode, Episode::NotBegun);
            if let Episode::Running(state) = running {
                self.memory.episode = Episode::Ended(state);
            }
        }
        Ok(Outcome {
            reward,
            terminated,
            truncated: false,
            success,
        })
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.id, &self.memory)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        self.memory = snapshot::decode(&self.id, bytes)?;
        Ok(())
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        let draw = |state: &D::State| {
            let scene = self.dynamics.scene(state).unwrap_or_else(|| self.bars(state));
            scene.draw(size, || self.id.clone())
        };
        match self.state() {
            Some(state) => draw(state),
            None => draw(&self.dynamics.initial(&mut NumpyRng::new(0))),
        }
    }
}
