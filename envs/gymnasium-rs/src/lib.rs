//! Adapters for the crate [`gymnasium-rs`](gymnasium_rs): its environments as [`sac_envs::Env`] ([`FromGymnasiumRs`]),
//! and environments of `sac-envs` for its trait ([`AsGymnasiumRs`]).
//!
//! Its trait has no snapshots, no errors and single-precision rewards. Each adapter documents the consequences.

use std::collections::HashMap;

use gymnasium_rs::core::{Env as TheirEnv, Info, Options, Reward, Space as TheirSpace};
use ndarray::{Array1, Array3};
use serde_json::Value;

/// The crates whose types are part of this interface.
pub use ::{gymnasium_rs as theirs, ndarray};

use sac_envs::panics::caught;
use sac_envs::render::FrameSize;
use sac_envs::{Env, EnvError, NumpyRng, Outcome, Space, snapshot};

/// An observation type of gymnasium-rs.
pub trait Observed {
    /// The numbers of the observation in order.
    fn numbers(&self) -> Vec<f32>;
}

/// An action type of gymnasium-rs.
pub trait Acted: Sized {
    /// The action with these numbers; their count is the length of the action space.
    fn from_numbers(numbers: &[f32]) -> Self;
}

impl Observed for Array1<f32> {
    fn numbers(&self) -> Vec<f32> {
        self.to_vec()
    }
}

impl Observed for Array1<f64> {
    fn numbers(&self) -> Vec<f32> {
        self.iter().map(|x| *x as f32).collect()
    }
}

impl Observed for Vec<f32> {
    fn numbers(&self) -> Vec<f32> {
        self.clone()
    }
}

impl Observed for i32 {
    fn numbers(&self) -> Vec<f32> {
        vec![*self as f32]
    }
}

impl Acted for Array1<f32> {
    fn from_numbers(numbers: &[f32]) -> Self {
        Array1::from_vec(numbers.to_vec())
    }
}

impl Acted for Vec<f32> {
    fn from_numbers(numbers: &[f32]) -> Self {
        numbers.to_vec()
    }
}

impl Acted for f32 {
    fn from_numbers(numbers: &[f32]) -> Self {
        numbers.first().copied().unwrap_or_default()
    }
}

impl Acted for i32 {
    fn from_numbers(numbers: &[f32]) -> Self {
        numbers.first().copied().unwrap_or_default() as i32
    }
}

/// An environment of gymnasium-rs as an [`Env`].
///
/// The trait of gymnasium-rs has no snapshots. A snapshot of this adapter is therefore the seed and the actions of the
/// running episode, and [`Env::restore`] replays them. That is exact if seed and actions determine the episode, which
/// [`sac_envs::check_env`] checks. Every reset passes a seed to the environment; it is drawn from a generator that a
/// reset with a seed restarts.
///
/// A panic of the environment becomes an error. The adapter refuses steps after the end of an episode, whether or not
/// the environment does.
pub struct FromGymnasiumRs<E, Obs, Action> {
    id: String,
    env: E,
    observation_space: Space,
    action_space: Space,
    memory: Memory,
    types: std::marker::PhantomData<fn(Action) -> Obs>,
}

/// Everything that changes; the content of a snapshot.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// Generator of the seeds of episodes; `None` until the first reset.
    seeds: Option<NumpyRng>,
    /// Seed of this episode.
    seed: i32,
    /// Concatenated actions since the reset.
    actions: Vec<f32>,
    is_over: bool,
}

impl<E, Obs, Action> FromGymnasiumRs<E, Obs, Action>
where
    E: TheirEnv<Obs, Action> + Send,
    Obs: Observed,
    Action: Acted,
{
    /// The environment `env` with the name `id`.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] for a space with a flaw: no actions, lower and upper bounds of different lengths.
    pub fn new(id: impl Into<String>, env: E) -> Result<Self, EnvError> {
        let id = id.into();
        let unsupported = |which: &str, problem: String| EnvError::Unsupported {
            env: id.clone(),
            problem: format!("its {which} space cannot be used: {problem}"),
        };
        let observation_space = space(env.observation_space()).map_err(|e| unsupported("observation", e))?;
        let action_space = space(env.action_space()).map_err(|e| unsupported("action", e))?;
        Ok(FromGymnasiumRs {
            id,
            env,
            observation_space,
            action_space,
            memory: Memory {
                seeds: None,
                seed: 0,
                actions: Vec::new(),
                is_over: false,
            },
            types: std::marker::PhantomData,
        })
    }

    /// Removes the bounds of the observation space, for environments whose observations leave the bounds that they
    /// state.
    #[must_use]
    pub fn with_unbounded_observations(mut self) -> Self {
        self.observation_space = Space::unbounded(self.observation_space.len());
        self
    }

    fn failed(&self, problem: String) -> EnvError {
        EnvError::Failed {
            env: self.id.clone(),
            problem,
        }
    }

    fn write(&self, observed: &Obs, obs: &mut [f32]) -> Result<(), EnvError> {
        let numbers = observed.numbers();
        self.observation_space
            .check_len(&self.id, "observation", numbers.len())?;
        obs.copy_from_slice(&numbers);
        Ok(())
    }

    fn begin(&mut self, seed: i32) -> Result<Obs, EnvError> {
        let env = &mut self.env;
        let (obs, _) = caught(|| env.reset(Some(seed), HashMap::new())).map_err(|panic| self.failed(panic))?;
        Ok(obs)
    }

    fn advance(&mut self, action: &[f32]) -> Result<(Obs, Reward, bool, bool), EnvError> {
        let env = &mut self.env;
        let (obs, reward, terminated, truncated, _) =
            caught(|| env.step(Action::from_numbers(action))).map_err(|panic| self.failed(panic))?;
        Ok((obs, reward, terminated, truncated))
    }

    /// Repeats the episode of `memory`.
    fn replay(&mut self, memory: &Memory) -> Result<(), EnvError> {
        if memory.seeds.is_some() {
            self.begin(memory.seed)?;
            for action in memory.actions.chunks_exact(self.action_space.len()) {
                self.advance(action)?;
            }
        }
        Ok(())
    }
}

/// The space of gymnasium-rs as a [`Space`]. A bound of ±`f32::MAX` means no bound.
fn space(space: TheirSpace) -> Result<Space, String> {
    let ours = match space {
        TheirSpace::Discrete(n) => Space::Discrete {
            n: usize::try_from(n).unwrap_or(0),
        },
        TheirSpace::Box { low, high } => {
            let open = |x: f32| {
                if x.abs() == f32::MAX {
                    f32::INFINITY.copysign(x)
                } else {
                    x
                }
            };
            Space::vector(
                low.iter().map(|x| open(*x)).collect(),
                high.iter().map(|x| open(*x)).collect(),
            )
        }
    };
    match ours.flaw() {
        Some(flaw) => Err(flaw),
        None => Ok(ours),
    }
}

impl<E, Obs, Action> Env for FromGymnasiumRs<E, Obs, Action>
where
    E: TheirEnv<Obs, Action> + Send,
    Obs: Observed,
    Action: Acted,
{
    fn describe(&self) -> String {
        self.id.clone()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.observation_space.check_len(&self.id, "observation", obs.len())?;
        if let Some(seed) = seed {
            self.memory.seeds = Some(NumpyRng::new(seed));
        }
        let seeds = self.memory.seeds.get_or_insert_with(|| NumpyRng::new(0));
        let seed = seeds.integers(1 << 31) as i32;
        self.memory.seed = seed;
        self.memory.actions.clear();
        self.memory.is_over = false;
        let found = self.begin(seed)?;
        self.write(&found, obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.action_space.check_len(&self.id, "action", action.len())?;
        self.observation_space.check_len(&self.id, "observation", obs.len())?;
        let when = match (&self.memory.seeds, self.memory.is_over) {
            (None, _) => Some("before the first reset"),
            (_, true) => Some("after the episode ended"),
            _ => None,
        };
        if let Some(when) = when {
            let env = self.id.clone();
            return Err(EnvError::ResetNeeded { env, when });
        }
        let (found, reward, terminated, truncated) = self.advance(action)?;
        self.memory.actions.extend_from_slice(action);
        self.memory.is_over = terminated || truncated;
        self.write(&found, obs)?;
        Ok(Outcome {
            reward: f64::from(reward),
            terminated,
            truncated,
            success: None,
        })
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        snapshot::encode(&self.id, &self.memory)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let memory: Memory = snapshot::decode(&self.id, bytes)?;
        if !memory.actions.len().is_multiple_of(self.action_space.len()) {
            return Err(EnvError::Snapshot {
                env: self.id.clone(),
                problem: "its last action is incomplete".to_string(),
            });
        }
        if let Err(error) = self.replay(&memory) {
            let before = self.memory.clone();
            self.replay(&before)?;
            return Err(error);
        }
        self.memory = memory;
        Ok(())
    }
}

/// An [`Env`] as an environment of gymnasium-rs, with flat observations. Actions are `Array1<f32>` for a box and for
/// tuples of indices, `i32` for a discrete space.
///
/// The trait of gymnasium-rs has no errors. A step that fails ends the episode: it returns the last observation, the
/// reward 0 and `terminated`, with the message as `error` in its info. A reset that fails returns zeros and the
/// message. Negative seeds are used as their two's complement. Rewards are rounded to single precision. Missing bounds
/// are ±∞. A tuple of indices is a box.
pub struct AsGymnasiumRs<E> {
    env: E,
    obs: Vec<f32>,
}

impl<E: Env> AsGymnasiumRs<E> {
    /// An adapter for `env`.
    pub fn new(env: E) -> Self {
        let obs = vec![0.0; env.observation_space().len()];
        AsGymnasiumRs { env, obs }
    }

    /// The inner environment.
    pub fn into_inner(self) -> E {
        self.env
    }

    fn begin(&mut self, seed: Option<i32>) -> (Array1<f32>, Info) {
        let seed = seed.map(|seed| u64::from(seed as u32));
        let mut info = Info::new();
        if let Err(error) = self.env.reset(seed, &mut self.obs) {
            self.obs.fill(0.0);
            info.insert("error".to_string(), Value::from(error.to_string()));
        }
        (Array1::from_vec(self.obs.clone()), info)
    }

    fn advance(&mut self, action: &[f32]) -> (Array1<f32>, Reward, bool, bool, Info) {
        let mut next = self.obs.clone();
        let (outcome, info) = match self.env.step(action, &mut next) {
            Ok(outcome) => {
                self.obs = next;
                (outcome, Info::new())
            }
            Err(error) => {
                let ended = Outcome {
                    reward: 0.0,
                    terminated: true,
                    truncated: false,
                    success: None,
                };
                let message = ("error".to_string(), Value::from(error.to_string()));
                (ended, Info::from([message]))
            }
        };
        let obs = Array1::from_vec(self.obs.clone());
        (obs, outcome.reward as f32, outcome.terminated, outcome.truncated, info)
    }

    fn picture(&self) -> Option<Array3<u8>> {
        const SIZE: FrameSize = FrameSize {
            width: 480,
            height: 320,
        };
        let frame = self.env.render(SIZE).ok()?;
        let mut picture = Array3::zeros((SIZE.height as usize, SIZE.width as usize, 3));
        for ((y, x, channel), value) in picture.indexed_iter_mut() {
            let colour = frame.pixel(x as u32, y as u32);
            *value = [colour.red, colour.green, colour.blue][channel];
        }
        Some(picture)
    }
}

/// A [`Space`] as a space of gymnasium-rs.
fn their_space(space: &Space) -> TheirSpace {
    match space {
        Space::Discrete { n } => TheirSpace::Discrete(i32::try_from(*n).unwrap_or(i32::MAX)),
        Space::Box { low, high, .. } => TheirSpace::Box {
            low: Array1::from_vec(low.clone()),
            high: Array1::from_vec(high.clone()),
        },
        Space::MultiDiscrete { n } => TheirSpace::Box {
            low: Array1::zeros(n.len()),
            high: n.iter().map(|n| n.saturating_sub(1) as f32).collect(),
        },
    }
}

macro_rules! as_theirs {
    ($action:ty, |$given:ident| $numbers:expr) => {
        impl<E: Env> TheirEnv<Array1<f32>, $action> for AsGymnasiumRs<E> {
            fn observation_space(&self) -> TheirSpace {
                their_space(self.env.observation_space())
            }
            fn action_space(&self) -> TheirSpace {
                their_space(self.env.action_space())
            }
            fn reset(&mut self, seed: Option<i32>, _: Options) -> (Array1<f32>, Info) {
                self.begin(seed)
            }
            fn step(&mut self, $given: $action) -> (Array1<f32>, Reward, bool, bool, Info) {
                self.advance(&$numbers)
            }
            fn render(&self) -> Option<Array3<u8>> {
                self.picture()
            }
            fn close(&mut self) {}
        }
    };
}

as_theirs!(Array1<f32>, |action| action.to_vec());
as_theirs!(i32, |action| [action as f32]);
