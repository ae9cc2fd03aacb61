//! The parts of both vector environments: [`Lane`], one environment with its buffers, and [`Chunk`], consecutive lanes
//! that are stepped one after the other.

use std::ops::Range;

use super::{EpisodeSummary, VecStep};
use crate::env::check_spaces;
use crate::panics::{caught, caught_step};
use crate::{Env, EnvError, EpisodeStats, GoalLayout, Space, Status, Warning, snapshot};

impl VecStep {
    /// Zeros for `envs` environments with `obs_len` numbers per observation.
    pub(super) fn sized(envs: usize, obs_len: usize) -> Self {
        VecStep {
            obs: vec![0.0; envs * obs_len],
            next_obs: vec![0.0; envs * obs_len],
            reward: vec![0.0; envs],
            status: vec![Status::Running; envs],
            finished: Vec::with_capacity(envs),
        }
    }
}

/// One environment with its buffers.
struct Lane {
    env: EpisodeStats<Box<dyn Env>>,
    /// `[O]`: the observation of the last step. A buffer of its own, so that a failing environment does not change the
    /// results.
    successor: Vec<f32>,
    /// `[O]`: the observation of the last reset.
    first: Vec<f32>,
    /// A panic left the environment in an unknown state.
    panicked: bool,
}

/// The row of [`VecStep`] that belongs to a lane, as part of its snapshot.
#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    obs: Vec<f32>,
    next_obs: Vec<f32>,
    reward: f64,
    status: Status,
}

const KIND: &str = "VecEnv";

impl Lane {
    fn new(env: Box<dyn Env>) -> Self {
        let obs_len = env.observation_space().len();
        let env = EpisodeStats::new(env);
        Lane {
            env,
            successor: vec![0.0; obs_len],
            first: vec![0.0; obs_len],
            panicked: false,
        }
    }

    /// Runs code of the environment and returns a panic as an error.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), EnvError>) -> Result<(), EnvError> {
        caught(|| work(self)).unwrap_or_else(|message| Err(self.failure(message)))
    }

    #[cold]
    fn failure(&mut self, message: String) -> EnvError {
        self.panicked = true;
        let problem = format!("panicked after step {} of an episode: {message}", self.env.length());
        EnvError::Failed {
            env: self.env.inner().describe(),
            problem,
        }
    }

    #[cold]
    fn reset_needed(&self) -> EnvError {
        EnvError::ResetNeeded {
            env: self.env.inner().describe(),
            when: "after a panic",
        }
    }

    /// Resets the environment and writes the first observation to `self.first`.
    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.guarded(|lane| lane.env.reset(seed, &mut lane.first))?;
        self.panicked = false;
        Ok(())
    }

    /// Steps the environment, writes the observation to `self.successor` and returns the reward, which `f32` can hold:
    /// agents learn in single precision.
    fn step(&mut self, action: &[f32]) -> Result<f64, Box<EnvError>> {
        if self.panicked {
            return Err(Box::new(self.reset_needed()));
        }
        let reward = caught_step(|| Ok(self.env.step(action, &mut self.successor)?.reward))
            .unwrap_or_else(|message| Err(Box::new(self.failure(message))))?;
        match (reward as f32).is_finite() {
            true => Ok(reward),
            false => Err(Box::new(self.too_large(reward))),
        }
    }

    #[cold]
    fn too_large(&self, reward: f64) -> EnvError {
        EnvError::Failed {
            env: self.env.inner().describe(),
            problem: format!(
                "reward is {reward:e} at step {} of an episode, and single precision holds at most {:e}",
                self.env.length(),
                f32::MAX
            ),
        }
    }
}

/// Consecutive lanes. Its methods work on a [`VecStep`] with one row per lane of the chunk.
pub(super) struct Chunk {
    /// Number of its first environment among all.
    offset: usize,
    lanes: Vec<Lane>,
    obs_len: usize,
    action_len: usize,
}

impl Chunk {
    pub(super) fn new(offset: usize, envs: Vec<Box<dyn Env>>) -> Self {
        let (obs_len, action_len) = envs
            .first()
            .map_or((0, 0), |env| (env.observation_space().len(), env.action_space().len()));
        Chunk {
            offset,
            lanes: envs.into_iter().map(Lane::new).collect(),
            obs_len,
            action_len,
        }
    }

    pub(super) fn reset(&mut self, seeds: &[u64], view: &mut VecStep) -> Result<(), EnvError> {
        view.finished.clear();
        let mut result = Ok(());
        for (i, (lane, seed)) in self.lanes.iter_mut().zip(seeds).enumerate() {
            match lane.reset(Some(*seed)) {
                Ok(()) => {
                    let row = i * self.obs_len..(i + 1) * self.obs_len;
                    view.obs[row.clone()].copy_from_slice(&lane.first);
                    view.next_obs[row].copy_from_slice(&lane.first);
                    (view.reward[i], view.status[i]) = (0.0, Status::Running);
                }
                Err(error) => result = result.and(Err(numbered(error, self.offset + i))),
            }
        }
        result
    }

    /// Steps the lanes `group`, counted within the chunk, with `actions` `[group.len(), A]`.
    #[inline(always)]
    pub(super) fn step(&mut self, group: Range<usize>, actions: &[f32], view: &mut VecStep) -> Result<(), EnvError> {
        view.finished.clear();
        let mut result = Ok(());
        let mut rest = actions;
        for i in group {
            let action;
            (action, rest) = rest.split_at(self.action_len);
            if let Err(error) = self.step_lane(i, action, view) {
                result = result.and(Err(error));
            }
        }
        result.map_err(|error| *error)
    }

    #[inline(always)]
    fn step_lane(&mut self, i: usize, action: &[f32], view: &mut VecStep) -> Result<(), Box<EnvError>> {
        let lane = &mut self.lanes[i];
        let reward = match lane.step(action) {
            Ok(reward) if !lane.env.status().is_over() => reward,
            last => return self.end_episode(i, last, view),
        };
        let row = i * self.obs_len..(i + 1) * self.obs_len;
        view.next_obs[row.clone()].copy_from_slice(&lane.successor);
        view.obs[row].copy_from_slice(&lane.successor);
        view.reward[i] = reward;
        view.status[i] = Status::Running;
        Ok(())
    }

    /// Handles a step that failed or ended the episode.
    #[inline(never)]
    fn end_episode(
        &mut self,
        i: usize,
        last: Result<f64, Box<EnvError>>,
        view: &mut VecStep,
    ) -> Result<(), Box<EnvError>> {
        let (lane, env) = (&mut self.lanes[i], self.offset + i);
        let name = |error: EnvError| Box::new(numbered(error, env));
        let reward = last.map_err(|error| name(*error))?;
        let ended = EpisodeSummary {
            env,
            episode_return: lane.env.episode_return(),
            length: lane.env.length(),
            status: lane.env.status(),
            success: lane.env.success(),
        };
        lane.reset(None).map_err(name)?;
        let row = i * self.obs_len..(i + 1) * self.obs_len;
        view.next_obs[row.clone()].copy_from_slice(&lane.successor);
        view.obs[row].copy_from_slice(&lane.first);
        view.reward[i] = reward;
        view.status[i] = ended.status;
        view.finished.push(ended);
        Ok(())
    }

    /// The warnings of all lanes, added up by kind.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut all = Vec::new();
        for lane in &self.lanes {
            Warning::merge(&mut all, caught(|| lane.env.warnings()).unwrap_or_default());
        }
        all
    }

    pub(super) fn snapshot(&self, view: &VecStep) -> Result<Vec<Vec<u8>>, EnvError> {
        let write = |(i, lane): (usize, &Lane)| {
            let coordinates = i * self.obs_len..(i + 1) * self.obs_len;
            let row = Row {
                obs: view.obs[coordinates.clone()].to_vec(),
                next_obs: view.next_obs[coordinates].to_vec(),
                reward: view.reward[i],
                status: view.status[i],
            };
            if lane.panicked {
                return Err(lane.reset_needed());
            }
            snapshot::encode(KIND, &(row, lane.env.snapshot()?))
        };
        let numbered_write = |(i, lane)| write((i, lane)).map_err(|error| numbered(error, self.offset + i));
        self.lanes.iter().enumerate().map(numbered_write).collect()
    }

    pub(super) fn restore(&mut self, snapshots: &[Vec<u8>], view: &mut VecStep) -> Result<(), EnvError> {
        view.finished.clear();
        for (i, (lane, bytes)) in self.lanes.iter_mut().zip(snapshots).enumerate() {
            let name = |error| numbered(error, self.offset + i);
            let (row, inner): (Row, Vec<u8>) = snapshot::decode(KIND, bytes).map_err(name)?;
            if row.obs.len() != self.obs_len || row.next_obs.len() != self.obs_len {
                let problem = format!(
                    "its observation has {} numbers, expected {}",
                    row.obs.len(),
                    self.obs_len
                );
                return Err(name(EnvError::Snapshot {
                    env: KIND.to_string(),
                    problem,
                }));
            }
            lane.guarded(|lane| lane.env.restore(&inner)).map_err(name)?;
            lane.panicked = false;
            let coordinates = i * self.obs_len..(i + 1) * self.obs_len;
            view.obs[coordinates.clone()].copy_from_slice(&row.obs);
            view.next_obs[coordinates].copy_from_slice(&row.next_obs);
            (view.reward[i], view.status[i]) = (row.reward, row.status);
        }
        Ok(())
    }
}

fn numbered(error: EnvError, env: usize) -> EnvError {
    error.renamed(|name| format!("{name} (environment {env})"))
}

/// The properties that all environments of a vector environment share.
pub(super) struct Common {
    pub(super) len: usize,
    pub(super) description: String,
    pub(super) observation_space: Space,
    pub(super) action_space: Space,
    pub(super) stacked_frames: usize,
    pub(super) goals: Option<GoalLayout>,
}

impl Common {
    /// The common properties of `envs`, whose spaces must be equal.
    pub(super) fn of(envs: &[Box<dyn Env>]) -> Result<Self, EnvError> {
        let Some(first) = envs.first() else {
            let problem = "a vector environment needs at least one environment".to_string();
            return Err(EnvError::Unsupported {
                env: KIND.to_string(),
                problem,
            });
        };
        let common = Common {
            len: envs.len(),
            description: first.describe(),
            observation_space: first.observation_space().clone(),
            action_space: first.action_space().clone(),
            stacked_frames: envs.iter().map(|env| env.stacked_frames()).min().unwrap_or(1),
            goals: first.goals().cloned(),
        };
        check_spaces(first)?;
        let odd = envs.iter().position(|env| {
            *env.observation_space() != common.observation_space
                || *env.action_space() != common.action_space
                || env.goals() != common.goals.as_ref()
        });
        if let Some(i) = odd {
            let problem = format!(
                "environment {i} ({}) has other spaces than environment 0",
                envs[i].describe()
            );
            return Err(EnvError::Unsupported {
                env: common.description,
                problem,
            });
        }
        Ok(common)
    }

    pub(super) fn check_seeds(&self, seeds: &[u64]) -> Result<(), EnvError> {
        self.check("seeds", seeds.len(), self.len)
    }

    pub(super) fn check_snapshots(&self, snapshots: &[Vec<u8>]) -> Result<(), EnvError> {
        self.check("snapshots", snapshots.len(), self.len)
    }

    pub(super) fn check_step(&self, group: &Range<usize>, actions: &[f32]) -> Result<(), EnvError> {
        if group.is_empty() || group.end > self.len {
            return Err(self.no_group(group));
        }
        self.check("actions", actions.len(), group.len() * self.action_space.len())
    }

    #[cold]
    fn no_group(&self, group: &Range<usize>) -> EnvError {
        EnvError::Unsupported {
            env: self.description.clone(),
            problem: format!("there is no group {group:?} of {} environments", self.len),
        }
    }

    fn check(&self, what: &'static str, found: usize, expected: usize) -> Result<(), EnvError> {
        if found == expected {
            Ok(())
        } else {
            Err(self.wrong_length(what, found, expected))
        }
    }

    #[cold]
    fn wrong_length(&self, what: &'static str, found: usize, expected: usize) -> EnvError {
        EnvError::WrongLength {
            env: self.description.clone(),
            what,
            expected,
            found,
        }
    }
}
