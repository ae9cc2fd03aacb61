//! What both vector environments are made of: [`Lane`], one environment and its memory, and [`Chunk`], neighbours
//! stepped one after the other.

use std::ops::Range;

use super::{EpisodeSummary, VecStep};
use crate::panics::caught;
use crate::{Env, EnvError, EpisodeStats, Space, Status, snapshot};

impl VecStep {
    /// Room for `envs` environments with `obs_len` numbers each.
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

/// One environment, which resets itself when an episode ends.
struct Lane {
    env: EpisodeStats<Box<dyn Env>>,
    /// `[O]` each: where observations are written first, so that a failing environment leaves the rows alone.
    successor: Vec<f32>,
    first: Vec<f32>,
    /// A panic left the environment in an unknown state.
    panicked: bool,
}

/// A lane's part of a snapshot besides the environment: its row of [`VecStep`].
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

    /// Runs the environment's own code.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, EnvError>) -> Result<T, EnvError> {
        caught(|| work(self)).unwrap_or_else(|message| {
            self.panicked = true;
            let problem = format!("panicked after step {} of an episode: {message}", self.env.length());
            Err(EnvError::Failed {
                env: self.env.inner().describe(),
                problem,
            })
        })
    }

    /// Writes the first observation to `self.first`.
    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.guarded(|lane| lane.env.reset(seed, &mut lane.first))?;
        self.panicked = false;
        Ok(())
    }

    /// Writes the successor to `self.successor` and, where an episode ended, what follows it to `self.first`.
    /// `index` goes into the summary. Returns the reward with it.
    fn step(&mut self, index: usize, action: &[f32]) -> Result<(f64, Option<EpisodeSummary>), EnvError> {
        if self.panicked {
            return Err(EnvError::ResetNeeded {
                env: self.env.inner().describe(),
                when: "after a panic",
            });
        }
        let outcome = self.guarded(|lane| lane.env.step(action, &mut lane.successor))?;
        if !outcome.status().is_over() {
            return Ok((outcome.reward, None));
        }
        let ended = EpisodeSummary {
            env: index,
            episode_return: self.env.episode_return(),
            length: self.env.length(),
            status: outcome.status(),
        };
        self.reset(None)?;
        Ok((outcome.reward, Some(ended)))
    }
}

/// Neighbouring lanes. Works on a [`VecStep`] that has one row per lane of the chunk.
pub(super) struct Chunk {
    /// Number of the first lane among all.
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

    /// `group` counts within the chunk; `actions` `[group.len(), A]`.
    pub(super) fn step(&mut self, group: Range<usize>, actions: &[f32], view: &mut VecStep) -> Result<(), EnvError> {
        view.finished.clear();
        let mut result = Ok(());
        for (i, action) in group.zip(actions.chunks_exact(self.action_len)) {
            let (lane, env) = (&mut self.lanes[i], self.offset + i);
            match lane.step(env, action) {
                Ok((reward, ended)) => {
                    let row = i * self.obs_len..(i + 1) * self.obs_len;
                    view.next_obs[row.clone()].copy_from_slice(&lane.successor);
                    view.obs[row].copy_from_slice(if ended.is_some() { &lane.first } else { &lane.successor });
                    view.reward[i] = reward;
                    view.status[i] = ended.map_or(Status::Running, |summary| summary.status);
                    view.finished.extend(ended);
                }
                Err(error) => result = result.and(Err(numbered(error, env))),
            }
        }
        result
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
                return Err(EnvError::ResetNeeded {
                    env: lane.env.inner().describe(),
                    when: "after a panic",
                });
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

/// What every vector environment knows of its members.
pub(super) struct Common {
    pub(super) len: usize,
    pub(super) description: String,
    pub(super) observation_space: Space,
    pub(super) action_space: Space,
}

impl Common {
    /// Of environments that must be alike.
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
        };
        for space in [first.observation_space(), first.action_space()] {
            if let Some(flaw) = space.flaw() {
                return Err(EnvError::Unsupported {
                    env: common.description,
                    problem: format!("{space}: {flaw}"),
                });
            }
        }
        let odd = envs.iter().position(|env| {
            *env.observation_space() != common.observation_space || *env.action_space() != common.action_space
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
            let problem = format!("there is no group {group:?} of {} environments", self.len);
            return Err(EnvError::Unsupported {
                env: self.description.clone(),
                problem,
            });
        }
        self.check("actions", actions.len(), group.len() * self.action_space.len())
    }

    fn check(&self, what: &'static str, found: usize, expected: usize) -> Result<(), EnvError> {
        if found == expected {
            return Ok(());
        }
        Err(EnvError::WrongLength {
            env: self.description.clone(),
            what,
            expected,
            found,
        })
    }
}
