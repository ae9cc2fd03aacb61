//! Replay memory: [`Replay`].
//!
//! All memory is allocated, and every page touched, at construction. A replay that does not fit fails before training,
//! and memory does not grow afterwards. Rows hold raw observations, raw rewards (summed over n steps) and normalised
//! actions. Observations that stack frames of bytes share them, so that each frame is stored once.

mod column;
mod frames;
mod n_step;
mod prioritized;
mod sampler;
mod storage;
mod sum_tree;

use sac_envs::{Space, Status, VecEnv};
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
    spec_problems::{SpecProblem, SpecProblems},
};
use n_step::NStep;
use prioritized::{Prioritized, PrioritizedState};
use storage::{Gathered, Layout, StackedState, Storage};
use sum_tree::SumTree;

pub use crate::memory::available_memory_bytes;
pub use prioritized::PrioritizedSpec;
pub use sampler::SamplerSpec;

/// Settings of the replay memory. Defaults: SAC 2018b, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaySpec {
    /// Capacity, transitions. The oldest are overwritten.
    pub capacity: u64,
    /// n of n-step returns, at least 1.
    pub n_step: u64,
    /// How rows are sampled.
    pub sampler: SamplerSpec,
}

impl Default for ReplaySpec {
    fn default() -> Self {
        ReplaySpec {
            capacity: 1_000_000,
            n_step: 1,
            sampler: SamplerSpec::Uniform,
        }
    }
}

impl ReplaySpec {
    fn layout<'a>(&self, (observation, action): (&'a Space, &'a Space), stacking: Stacking) -> Layout<'a> {
        Layout {
            observation,
            action,
            stacked_frames: stacking.frames,
            num_envs: stacking.num_envs,
            n_step: usize::try_from(self.n_step).unwrap_or(usize::MAX),
            capacity: usize::try_from(self.capacity).unwrap_or(usize::MAX),
        }
    }

    /// Size of the rows and priorities, bytes. `spaces` are the observation and action space.
    pub fn bytes(&self, spaces: (&Space, &Space), stacking: Stacking) -> u64 {
        let priorities = match self.sampler {
            SamplerSpec::Uniform => 0,
            SamplerSpec::Prioritized(_) => SumTree::bytes(self.capacity),
        };
        self.layout(spaces, stacking).bytes().saturating_add(priorities)
    }

    /// Whether rows share the frames of their observations, because these are stacks of frames of bytes.
    pub fn shares_frames(&self, spaces: (&Space, &Space), stacking: Stacking) -> bool {
        self.layout(spaces, stacking).frames().is_some()
    }

    /// Every setting of the sampler that is out of range.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        if let SamplerSpec::Prioritized(spec) = &self.sampler {
            spec.check(&mut problems);
        }
        problems.into_vec()
    }

    /// Checks that the replay fits into the available memory.
    ///
    /// # Errors
    /// [`Error::ReplayTooLarge`] if it does not.
    pub fn check_fits(&self, spaces: (&Space, &Space), stacking: Stacking) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let needed = self.bytes(spaces, stacking);
        let available = available_memory_bytes();
        if needed > available {
            return Err(Error::ReplayTooLarge {
                capacity: self.capacity,
                needed_mib: needed.div_ceil(MIB),
                available_mib: available / MIB,
            });
        }
        Ok(())
    }
}

/// The environments that fill a replay: their number, and the number of stacked frames in their observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacking {
    /// Number of frames per observation (see [`sac_envs::Env::stacked_frames`]); 1 without frame stacking. Frames of
    /// bytes are stored once.
    pub frames: usize,
    /// Number of environments.
    pub num_envs: usize,
}

impl Stacking {
    /// The stacking of vectorised environments.
    pub fn of(envs: &dyn VecEnv) -> Self {
        Stacking {
            frames: envs.stacked_frames(),
            num_envs: envs.len(),
        }
    }

    /// `num_envs` environments without frame stacking.
    pub fn none(num_envs: usize) -> Self {
        Stacking { frames: 1, num_envs }
    }
}

/// Tensors into which every batch is gathered.
struct BatchBuffer {
    obs: Tensor,
    action: Tensor,
    reward: Tensor,
    discount: Tensor,
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
    /// [`Error::ReplayTooLarge`]; [`Error::Spec`] when a setting of the sampler is out of range.
    pub fn stacked(
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
                next_obs: Tensor::zeros(&obs_shape[..], options),
                weight: Tensor::zeros([rows], options),
            },
            batch_size,
            indices: vec![0; batch_size],
            prioritized: match spec.sampler {
                SamplerSpec::Uniform => None,
                SamplerSpec::Prioritized(sampler) => Some(Prioritized::new(sampler, storage.capacity(), batch_size)),
            },
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

    /// Adds one step of environment `env`. `next_obs` is the true successor of `obs`, also at the end of an episode.
    pub fn push(&mut self, env: usize, obs: &[f32], action: &[f32], reward: f64, status: Status, next_obs: &[f32]) {
        let (storage, prioritized) = (&mut self.storage, &mut self.prioritized);
        self.windows[env].push(obs, action, reward, status, |obs, action, reward, discount| {
            let row = storage.push(env, obs, action, reward, discount, next_obs);
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

    /// Discards the steps in n-step windows, whose episodes cannot continue.
    pub fn abandon_windows(&mut self) {
        self.windows.iter_mut().for_each(NStep::abandon);
    }

    /// Samples a batch; `None` if the replay is empty. The next call overwrites the batch's tensors.
    pub fn sample(&mut self, stream: &mut Stream) -> Option<Batch> {
        if self.storage.len() == 0 {
            return None;
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
            next_obs,
            weight,
        } = &mut self.batch;
        let into = Gathered {
            obs: as_slice_mut(obs),
            action: as_slice_mut(action),
            reward: as_slice_mut(reward),
            discount: as_slice_mut(discount),
            next_obs: as_slice_mut(next_obs),
        };
        self.storage.gather(&self.indices, into);
        let on_device = |tensor: &Tensor| on(self.device, tensor.shallow_clone());
        Some(Batch {
            weight: self.prioritized.is_some().then(|| on_device(weight)),
            ..Batch::new(
                on_device(obs),
                on_device(action),
                on_device(reward),
                on_device(discount),
                on_device(next_obs),
            )
        })
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
    /// windows and the priorities.
    ///
    /// # Errors
    /// When a value cannot be serialised.
    pub fn section(&self) -> Result<Section<'_>> {
        let mut section = Section::new("replay");
        self.storage.save(&mut section);
        if let Some(prioritized) = &self.prioritized {
            prioritized.save(self.storage.filled(), &mut section);
        }
        let windows: Vec<_> = self.windows.iter().map(NStep::state).collect();
        section.set_state(&ReplayState {
            len: self.storage.len(),
            cursor: self.storage.cursor(),
            windows,
            stacked: self.storage.stacked_state(),
            prioritized: self.prioritized.as_ref().map(Prioritized::state),
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
}
