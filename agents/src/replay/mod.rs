//! What was experienced: [`Replay`].
//!
//! Columns are allocated once, from the spaces, and every page is touched then: memory does not grow afterwards, and
//! a replay that cannot fit is refused before training. Rows hold raw observations, raw rewards (summed over n steps)
//! and normalised actions.

mod n_step;
mod storage;

use sac_envs::{Space, Status};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    agent::UpdateReport,
    batch::Batch,
    checkpoint::Section,
    error::{Error, Result},
    noise::Stream,
};
use n_step::NStep;
use storage::Storage;

/// Settings of the replay. Defaults: SAC 2018b, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaySpec {
    /// Transitions; the oldest give way.
    pub capacity: u64,
    /// Steps per row, at least 1.
    pub n_step: u64,
    /// How rows are chosen.
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

/// How rows are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerSpec {
    /// All alike, with replacement.
    Uniform,
}

impl ReplaySpec {
    /// Bytes that the columns take.
    pub fn bytes(&self, observation: &Space, action: &Space) -> u64 {
        let row = Storage::row_bytes(observation, action);
        self.capacity.saturating_mul(row as u64)
    }

    /// Refuses what the machine cannot hold.
    ///
    /// # Errors
    /// [`Error::ReplayTooLarge`].
    pub fn check_fits(&self, observation: &Space, action: &Space) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let needed = self.bytes(observation, action);
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

/// What the operating system would give this process: free memory, or what its control group leaves, if that is less.
/// Where it will not say, nothing is refused.
pub fn available_memory_bytes() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else {
        return u64::MAX;
    };
    system.refresh_memory();
    let free = system.available_memory();
    system
        .cgroup_limits()
        .map_or(free, |limits| free.min(limits.free_memory))
}

/// Tensors that one batch is gathered into, over and over.
struct BatchBuffer {
    obs: Tensor,
    action: Tensor,
    reward: Tensor,
    discount: Tensor,
    next_obs: Tensor,
}

/// See the module.
pub struct Replay {
    storage: Storage,
    windows: Vec<NStep>,
    batch: BatchBuffer,
    batch_size: usize,
    indices: Vec<usize>,
    device: Device,
}

impl Replay {
    /// Allocates everything: `spec.capacity` rows, a window per environment, one batch.
    ///
    /// # Errors
    /// [`Error::ReplayTooLarge`].
    pub fn new(
        spec: &ReplaySpec,
        spaces: (&Space, &Space),
        num_envs: usize,
        gamma: f64,
        batch_size: usize,
        device: Device,
    ) -> Result<Self> {
        let (observation, action) = spaces;
        spec.check_fits(observation, action)?;
        let storage = Storage::new(spec.capacity as usize, observation, action);
        let window = || NStep::new(spec.n_step as usize, gamma, observation.len(), action.len());
        let options = (Kind::Float, Device::Cpu);
        let rows = batch_size as i64;
        let obs_shape: Vec<i64> = [rows]
            .into_iter()
            .chain(observation.shape().iter().map(|e| *e as i64))
            .collect();
        Ok(Replay {
            windows: (0..num_envs).map(|_| window()).collect(),
            batch: BatchBuffer {
                obs: Tensor::zeros(&obs_shape[..], options),
                action: Tensor::zeros([rows, action.len() as i64], options),
                reward: Tensor::zeros([rows], options),
                discount: Tensor::zeros([rows], options),
                next_obs: Tensor::zeros(&obs_shape[..], options),
            },
            batch_size,
            indices: vec![0; batch_size],
            storage,
            device,
        })
    }

    /// Rows held.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// Rows that fit.
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Takes one step of environment `env`: what was seen, done and received, how it ended, and the true successor.
    pub fn push(&mut self, env: usize, obs: &[f32], action: &[f32], reward: f64, status: Status, next_obs: &[f32]) {
        let storage = &mut self.storage;
        self.windows[env].push(obs, action, reward, status, |obs, action, reward, discount| {
            storage.push(obs, action, reward, discount, next_obs);
        });
    }

    /// Forgets steps that have not become rows: their episodes cannot go on.
    pub fn abandon_windows(&mut self) {
        self.windows.iter_mut().for_each(NStep::abandon);
    }

    /// Draws a batch. `None` while the replay is empty.
    ///
    /// The tensors of the returned batch are reused by the next call.
    pub fn sample(&mut self, stream: &mut Stream) -> Option<Batch> {
        if self.storage.len() == 0 {
            return None;
        }
        for index in &mut self.indices {
            *index = stream.index(self.storage.len());
        }
        let BatchBuffer {
            obs,
            action,
            reward,
            discount,
            next_obs,
        } = &mut self.batch;
        self.storage.obs.gather(&self.indices, numbers(obs));
        self.storage.action.gather(&self.indices, numbers(action));
        self.storage.reward.gather(&self.indices, numbers(reward));
        self.storage.discount.gather(&self.indices, numbers(discount));
        self.storage.next_obs.gather(&self.indices, numbers(next_obs));
        let on_device = |tensor: &Tensor| tensor.to_device(self.device);
        Some(Batch::new(
            on_device(obs),
            on_device(action),
            on_device(reward),
            on_device(discount),
            on_device(next_obs),
        ))
    }

    /// Takes in what an update made of the batch that was drawn last.
    pub fn learned(&mut self, _report: &UpdateReport) {}

    /// How many rows a batch has.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The section `replay`: the filled part of every column, the cursor, the open windows.
    ///
    /// # Errors
    /// When a value cannot be written down.
    pub fn section(&self) -> Result<Section<'_>> {
        let mut section = Section::new("replay");
        self.storage.save(&mut section);
        let windows: Vec<_> = self.windows.iter().map(NStep::state).collect();
        section.set_state(&ReplayState {
            len: self.storage.len(),
            cursor: self.storage.cursor(),
            windows,
        })?;
        Ok(section)
    }

    /// Takes back what [`Replay::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit this replay's capacity, spaces or environments.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        let state: ReplayState = section.state()?;
        if state.windows.len() != self.windows.len() {
            let problem = format!(
                "holds {} environments, expected {}",
                state.windows.len(),
                self.windows.len()
            );
            return Err(Error::section("replay", problem));
        }
        for (window, state) in self.windows.iter_mut().zip(&state.windows) {
            window.restore(state)?;
        }
        self.storage.load(section, state.len, state.cursor)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayState {
    len: usize,
    cursor: usize,
    windows: Vec<n_step::NStepState>,
}

/// The numbers of a contiguous CPU tensor of `f32`.
fn numbers(tensor: &mut Tensor) -> &mut [f32] {
    debug_assert!(tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu);
    // SAFETY: the tensor is contiguous f32 on the CPU (made so in `Replay::new`), lives as long as the borrow, and
    // nobody reads it meanwhile: an update has finished with the last batch before the next is drawn.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), tensor.numel()) }
}
