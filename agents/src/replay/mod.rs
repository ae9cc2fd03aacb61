//! Replay memory: [`Replay`].
//!
//! All memory is allocated, and every page touched, at construction. A replay that does not fit fails before training,
//! and memory does not grow afterwards. Rows hold raw observations, raw rewards (summed over n steps) and normalised
//! actions. Observations that stack frames of bytes share them, so that each frame is stored once. Hindsight changes the
//! goals of rows when a batch is drawn.

mod column;
mod episodes;
mod frames;
mod hindsight;
mod n_step;
mod prioritized;
mod sampler;
mod spec;
mod storage;
mod sum_tree;

use sac_envs::{Env, Space, Status};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    batch::Batch,
    checkpoint::Section,
    error::{Error, Result},
    metrics,
    noise::{Stream, on},
    report::UpdateReport,
    schedule::GradSteps,
    slices::as_slice_mut,
    spec_problems::SpecProblem,
};
use episodes::Episodes;
use hindsight::Hindsight;
use n_step::NStep;
use prioritized::{Prioritized, PrioritizedState};
use storage::{Gathered, StackedState, Storage};

pub use crate::memory::available_memory_bytes;
pub use hindsight::{HindsightSpec, HindsightStrategy};
pub use prioritized::PrioritizedSpec;
pub use sampler::SamplerSpec;
pub use spec::{ReplaySpec, Stacking};

/// Tensors into which every batch is gathered.
struct BatchBuffer {
    obs: Tensor,
    action: Tensor,
    reward: Tensor,
    discount: Tensor,
    entropy: Tensor,
    next_obs: Tensor,
    weight: Tensor,
}

/// A replay memory of transitions.
pub struct Replay {
    storage: Storage,
    windows: Vec<NStep>,
    batch: BatchBuffer,
    batch_size: usize,
    /// Indices of the rows of the last batch.
    indices: Vec<usize>,
    prioritized: Option<Prioritized>,
    hindsight: Option<Hindsight>,
    is_soft: bool,
    device: Device,
}

impl Replay {
    /// Allocates a replay for environments without frame stacking: rows, an n-step window per environment, and one
    /// batch.
    ///
    /// # Errors
    /// The errors of [`Replay::stacked`].
    pub fn new(
        spec: &ReplaySpec,
        spaces: (&Space, &Space),
        num_envs: usize,
        gamma: f64,
        batch_size: usize,
        device: Device,
    ) -> Result<Self> {
        Replay::stacked(spec, spaces, Stacking::none(num_envs), gamma, batch_size, device)
    }

    /// Allocates a replay for environments whose observations may stack frames.
    ///
    /// # Errors
    /// [`Error::ReplayTooLarge`]; [`Error::Spec`] when a setting is out of range, and for hindsight, which needs
    /// [`Replay::with_hindsight`].
    pub fn stacked(
        spec: &ReplaySpec,
        spaces: (&Space, &Space),
        stacking: Stacking,
        gamma: f64,
        batch_size: usize,
        device: Device,
    ) -> Result<Self> {
        if spec.hindsight.is_some() {
            return Err(Error::Spec {
                key: "replay.hindsight".to_string(),
                value: "given".to_string(),
                problem: "expected none: this replay is given no task to ask for rewards".to_string(),
            });
        }
        Replay::allocated(spec, spaces, stacking, gamma, batch_size, device)
    }

    /// Allocates a replay that draws other goals for its rows, if `spec` has hindsight. `task` is an environment like those
    /// that fill it, with normalised actions; it is asked what steps earn, and never stepped.
    ///
    /// # Errors
    /// As [`Replay::stacked`], and [`Error::Spec`] for hindsight on a task without goals.
    pub fn with_hindsight(
        spec: &ReplaySpec,
        task: Box<dyn Env>,
        num_envs: usize,
        gamma: f64,
        batch_size: usize,
        device: Device,
    ) -> Result<Self> {
        let refused = |SpecProblem { key, value, problem }: SpecProblem| Error::Spec {
            key,
            value,
            problem: format!("expected {problem}"),
        };
        let spaces = (task.observation_space(), task.action_space());
        if let Some(problem) = spec.hindsight_problem(spaces.0, task.goals()) {
            return Err(refused(problem));
        }
        let mut replay = Replay::allocated(spec, spaces, Stacking::none(num_envs), gamma, batch_size, device)?;
        if let (Some(hindsight), Some(layout)) = (spec.hindsight, task.goals().cloned()) {
            let episodes = Episodes::new(replay.capacity(), num_envs);
            replay.hindsight = Some(Hindsight::new(hindsight, task, layout, episodes, gamma, batch_size));
        }
        Ok(replay)
    }

    fn allocated(
        spec: &ReplaySpec,
        spaces: (&Space, &Space),
        stacking: Stacking,
        gamma: f64,
        batch_size: usize,
        device: Device,
    ) -> Result<Self> {
        let (observation, action) = spaces;
        if let Some(SpecProblem { key, value, problem }) = spec.problems().into_iter().next() {
            let problem = format!("expected {problem}");
            return Err(Error::Spec { key, value, problem });
        }
        spec.check_fits(spaces, stacking)?;
        let storage = Storage::new(&spec.layout(spaces, stacking));
        let window = || NStep::new(spec.n_step as usize, gamma, observation.len(), action.len());
        let options = (Kind::Float, Device::Cpu);
        let rows = batch_size as i64;
        let obs_shape: Vec<i64> = [rows]
            .into_iter()
            .chain(observation.shape().iter().map(|e| *e as i64))
            .collect();
        Ok(Replay {
            windows: (0..stacking.num_envs).map(|_| window()).collect(),
            batch: BatchBuffer {
                obs: Tensor::zeros(&obs_shape[..], options),
                action: Tensor::zeros([rows, action.len() as i64], options),
                reward: Tensor::zeros([rows], options),
                discount: Tensor::zeros([rows], options),
                entropy: Tensor::zeros([rows], options),
                next_obs: Tensor::zeros(&obs_shape[..], options),
                weight: Tensor::zeros([rows], options),
            },
            batch_size,
            indices: vec![0; batch_size],
            prioritized: match spec.sampler {
                SamplerSpec::Uniform => None,
                SamplerSpec::Prioritized(sampler) => Some(Prioritized::new(sampler, storage.capacity(), batch_size)),
            },
            hindsight: None,
            is_soft: spec.soft_n_step,
            storage,
            device,
        })
    }

    /// Number of rows.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// Maximum number of rows.
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Whether n-step returns are soft, so that steps are added with entropies.
    pub fn is_soft(&self) -> bool {
        self.is_soft
    }

    /// Adds one step of environment `env`. `next_obs` is the true successor of `obs`, also at the end of an episode.
    pub fn push(&mut self, env: usize, obs: &[f32], action: &[f32], reward: f64, status: Status, next_obs: &[f32]) {
        self.push_soft(env, obs, action, (reward, 0.0), status, next_obs);
    }

    /// [`Replay::push`] with the reward and the entropy of the policy at `obs` (nats), which soft n-step returns have.
    pub fn push_soft(
        &mut self,
        env: usize,
        obs: &[f32],
        action: &[f32],
        earned: (f64, f64),
        status: Status,
        next_obs: &[f32],
    ) {
        if let Some(hindsight) = &mut self.hindsight {
            hindsight.episodes.push(env, status);
        }
        let (storage, prioritized) = (&mut self.storage, &mut self.prioritized);
        self.windows[env].push(obs, action, earned, status, |folded| {
            let row = storage.push(env, &folded, next_obs);
            if let Some(prioritized) = prioritized {
                prioritized.inserted(row);
            }
            while let Some(row) = storage.pop_incomplete() {
                if let Some(prioritized) = prioritized {
                    prioritized.removed(row);
                }
            }
        });
    }

    /// Gives up the running episodes, which cannot continue, and discards the steps in n-step windows.
    pub fn abandon_windows(&mut self) {
        self.windows.iter_mut().for_each(NStep::abandon);
        if let Some(hindsight) = &mut self.hindsight {
            hindsight.episodes.cut();
        }
    }

    /// Samples a batch; `None` if the replay is empty. The next call overwrites the batch's tensors.
    ///
    /// # Errors
    /// [`Error::Env`] when the task fails to say what a step earns with another goal.
    pub fn sample(&mut self, stream: &mut Stream) -> Result<Option<Batch>> {
        if self.storage.len() == 0 {
            return Ok(None);
        }
        match &self.prioritized {
            None => {
                for index in &mut self.indices {
                    *index = self.storage.index_of(stream.index(self.storage.len()));
                    self.storage.prefetch(*index);
                }
            }
            Some(prioritized) => prioritized.draw(stream, &mut self.indices, as_slice_mut(&mut self.batch.weight)),
        }
        let BatchBuffer {
            obs,
            action,
            reward,
            discount,
            entropy,
            next_obs,
            weight,
        } = &mut self.batch;
        let mut into = Gathered {
            obs: as_slice_mut(obs),
            action: as_slice_mut(action),
            reward: as_slice_mut(reward),
            discount: as_slice_mut(discount),
            entropy: as_slice_mut(entropy),
            next_obs: as_slice_mut(next_obs),
        };
        self.storage.gather(&self.indices, &mut into);
        if let Some(hindsight) = &mut self.hindsight {
            hindsight.relabel(&self.storage, &self.indices, into, stream)?;
        }
        let on_device = |tensor: &Tensor| on(self.device, tensor.shallow_clone());
        Ok(Some(Batch {
            weight: self.prioritized.is_some().then(|| on_device(weight)),
            entropy: self.is_soft.then(|| on_device(entropy)),
            ..Batch::new(
                on_device(obs),
                on_device(action),
                on_device(reward),
                on_device(discount),
                on_device(next_obs),
            )
        }))
    }

    /// Updates priorities with the report of the update with the last batch.
    pub fn learned(&mut self, report: &UpdateReport) {
        if let Some(prioritized) = &mut self.prioritized {
            prioritized.learned(&self.indices, report);
        }
    }

    /// Names and values of the replay's metrics.
    pub fn metrics(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let priorities = self.prioritized.as_ref().map(|prioritized| {
            [
                (metrics::REPLAY_PRIORITY_MAX, prioritized.greatest()),
                (metrics::REPLAY_IMPORTANCE_EXPONENT, prioritized.importance_exponent()),
            ]
        });
        [(metrics::REPLAY_SIZE, self.len() as f64)]
            .into_iter()
            .chain(priorities.into_iter().flatten())
    }

    /// Number of rows of a batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Begins without rows in the middle of a run, after so many updates.
    pub fn begin_anew(&mut self, grad_steps: GradSteps) {
        if let Some(prioritized) = &mut self.prioritized {
            prioritized.begin_anew(grad_steps);
        }
    }

    /// The checkpoint section `replay`: the filled part of every column, shared frames, the cursor, the open n-step
    /// windows, the priorities, and with hindsight the steps of episodes.
    ///
    /// # Errors
    /// When a value cannot be serialised.
    pub fn section(&self) -> Result<Section<'_>> {
        let mut section = Section::new("replay");
        self.storage.save(&mut section);
        if let Some(prioritized) = &self.prioritized {
            prioritized.save(self.storage.filled(), &mut section);
        }
        if let Some(hindsight) = &self.hindsight {
            hindsight.episodes.save(&mut section);
        }
        let windows: Vec<_> = self.windows.iter().map(NStep::state).collect();
        section.set_state(&ReplayState {
            len: self.storage.len(),
            cursor: self.storage.cursor(),
            windows,
            stacked: self.storage.stacked_state(),
            prioritized: self.prioritized.as_ref().map(Prioritized::state),
            turn: self.hindsight.as_ref().and_then(|hindsight| hindsight.episodes.turn()),
        })?;
        Ok(section)
    }

    /// Restores the state from a section written by [`Replay::section`].
    ///
    /// # Errors
    /// When the section does not fit this replay's capacity, spaces or environments.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        let state: ReplayState = section.state()?;
        if state.windows.len() != self.windows.len() {
            let problem = format!(
                "holds n-step windows of {} environments, expected {}",
                state.windows.len(),
                self.windows.len()
            );
            return Err(Error::section("replay", problem));
        }
        for (window, state) in self.windows.iter_mut().zip(&state.windows) {
            window.restore(state)?;
        }
        self.storage
            .load(section, state.len, state.cursor, state.stacked.as_ref())?;
        if let Some(hindsight) = &mut self.hindsight {
            hindsight.episodes.load(section, state.len, state.cursor, state.turn)?;
        }
        match (&mut self.prioritized, &state.prioritized) {
            (None, None) => Ok(()),
            (Some(prioritized), Some(saved)) => {
                let (rows, storage) = (self.storage.filled(), &self.storage);
                prioritized.load(section, rows, |row| storage.is_valid(row), saved)
            }
            (None, Some(_)) => Err(Error::section("replay", "holds priorities, expected none")),
            (Some(_), None) => Err(Error::section("replay", "holds no priorities")),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayState {
    len: usize,
    cursor: usize,
    windows: Vec<n_step::NStepState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stacked: Option<StackedState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prioritized: Option<PrioritizedState>,
    /// The environment that steps next; with hindsight only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<usize>,
}
