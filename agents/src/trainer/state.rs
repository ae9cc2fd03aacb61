//! What the trainer itself remembers, and how it becomes sections of a checkpoint.

use std::{collections::VecDeque, ops::Range};

use sac_envs::Space;
use serde::{Deserialize, Serialize};

use super::{Trainer, clock::Clock};
use crate::{
    checkpoint::{Checkpoint, Section},
    error::{Error, Result},
    noise::{Stream, StreamPosition},
    schedule::{EnvSteps, GradSteps},
};

/// Over how many episodes `rollout/…` averages, as Stable-Baselines3 does.
const RECENT_EPISODES: usize = 100;

/// Returns and lengths of the newest training episodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RecentEpisodes(VecDeque<(f64, u64)>);

impl Default for RecentEpisodes {
    fn default() -> Self {
        RecentEpisodes(VecDeque::with_capacity(RECENT_EPISODES))
    }
}

impl RecentEpisodes {
    pub(super) fn push(&mut self, episode_return: f64, length: u64) {
        if self.0.len() == RECENT_EPISODES {
            self.0.pop_front();
        }
        self.0.push_back((episode_return, length));
    }

    /// Mean return and mean length.
    pub(super) fn means(&self) -> Option<(f64, f64)> {
        let count = self.0.len() as f64;
        let sum = self.0.iter().fold((0.0, 0.0), |sum, (value, length)| {
            (sum.0 + value, sum.1 + *length as f64)
        });
        (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
    }
}

/// Observations of a group, kept while the environments overwrite theirs.
#[derive(Default)]
pub(super) struct RowBuffer {
    width: usize,
    rows: Vec<f32>,
}

impl RowBuffer {
    pub(super) fn copy_from(&mut self, all: &[f32], width: usize, group: &Range<usize>) {
        self.width = width;
        self.rows.clear();
        self.rows
            .extend_from_slice(&all[group.start * width..group.end * width]);
    }

    pub(super) fn all(&self) -> &[f32] {
        &self.rows
    }

    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.rows[index * self.width..(index + 1) * self.width]
    }
}

/// Random actions, each held for a while.
pub(super) struct Warmup {
    hold_env_steps: u64,
    held: Vec<f32>,
    left_env_steps: Vec<u64>,
    pub(super) before: RowBuffer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldActions {
    held: Vec<f32>,
    left_env_steps: Vec<u64>,
}

impl Warmup {
    pub(super) fn new(num_envs: usize, action_width: usize, hold_env_steps: u64) -> Self {
        Warmup {
            hold_env_steps,
            held: vec![0.0; num_envs * action_width],
            left_env_steps: vec![0; num_envs],
            before: RowBuffer::default(),
        }
    }

    pub(super) fn choose(&mut self, group: Range<usize>, space: &Space, stream: &mut Stream, actions: &mut [f32]) {
        let width = space.len();
        for env in group.clone() {
            let held = &mut self.held[env * width..(env + 1) * width];
            if self.left_env_steps[env] == 0 {
                space.sample(stream.rng(), held);
                self.left_env_steps[env] = self.hold_env_steps;
            }
            self.left_env_steps[env] -= 1;
        }
        actions.copy_from_slice(&self.held[group.start * width..group.end * width]);
    }

    /// A new episode begins with a new action.
    pub(super) fn episode_ended(&mut self, env: usize) {
        self.left_env_steps[env] = 0;
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainerState {
    seed: u64,
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    next_env: usize,
    warmup: HeldActions,
    recent_episodes: RecentEpisodes,
    best_mean_return: Option<f64>,
    last_evaluation: Option<(EnvSteps, f64)>,
    streams: Vec<(String, StreamPosition)>,
}

impl Trainer {
    /// The whole state of the run.
    pub(super) fn sections(&self) -> Result<Vec<Section<'_>>> {
        let mut trainer = Section::new("trainer");
        trainer.set_state(&TrainerState {
            seed: self.plan.seed,
            env_steps: self.env_steps,
            grad_steps: self.grad_steps,
            next_env: self.next_env,
            warmup: HeldActions {
                held: self.warmup.held.clone(),
                left_env_steps: self.warmup.left_env_steps.clone(),
            },
            recent_episodes: self.recent.clone(),
            best_mean_return: self.best_mean_return,
            last_evaluation: self.last_evaluation,
            streams: self
                .streams
                .positions()
                .map(|(name, position)| (name.to_string(), position))
                .into(),
        })?;
        let mut envs = Section::new("envs");
        if !self.envs_are_lost {
            let snapshots = self.envs.envs().snapshot()?;
            envs.set_state(&snapshots.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>())?;
        }
        let mut sections = vec![trainer, envs, self.replay.section()?];
        sections.extend(self.agent.sections()?);
        Ok(sections)
    }

    /// Takes back a checkpoint. `seconds_before` is the wall time that the run had spent by then, which checkpoints do
    /// not hold because equal states must give equal bytes.
    ///
    /// # Errors
    /// When a section does not fit; the trainer must then not be used.
    pub fn restore(&mut self, checkpoint: &Checkpoint, seconds_before: f64) -> Result<()> {
        self.take_back(checkpoint, seconds_before)
            .map_err(|error| checkpoint.locate(error))
    }

    fn take_back(&mut self, checkpoint: &Checkpoint, seconds_before: f64) -> Result<()> {
        let state: TrainerState = checkpoint.section("trainer")?.state()?;
        let mismatch = |problem: String| Err(Error::section("trainer", problem));
        let manifest = &checkpoint.manifest;
        if (state.env_steps, state.grad_steps) != (manifest.env_steps, manifest.grad_steps) {
            return mismatch(format!(
                "was written at env step {} and update {}, but its manifest says {} and {}",
                state.env_steps, state.grad_steps, manifest.env_steps, manifest.grad_steps
            ));
        }
        if state.seed != self.plan.seed {
            return mismatch(format!(
                "was written with seed {}, expected {}",
                state.seed, self.plan.seed
            ));
        }
        let num_envs = self.envs.envs().len();
        if (state.warmup.held.len(), state.warmup.left_env_steps.len()) != (self.warmup.held.len(), num_envs) {
            return mismatch(format!(
                "was written with another number of environments than {num_envs}"
            ));
        }
        self.agent.load(checkpoint)?;
        self.replay.load(&checkpoint.section("replay")?)?;
        let snapshots: Option<Vec<String>> = checkpoint.section("envs")?.state()?;
        if let Some(snapshots) = &snapshots {
            let snapshots: Option<Vec<Vec<u8>>> = snapshots.iter().map(|text| unhex(text)).collect();
            let snapshots = snapshots.ok_or_else(|| Error::section("envs", "a snapshot is not hexadecimal"))?;
            self.envs.envs_mut().restore(&snapshots)?;
        }
        for (name, position) in &state.streams {
            let stream = self.streams.by_name(name);
            let unknown = || Error::section("trainer", format!("unknown stream `{name}`"));
            stream.ok_or_else(unknown)?.seek(position)?;
        }
        self.warmup.held = state.warmup.held;
        self.warmup.left_env_steps = state.warmup.left_env_steps;
        self.env_steps = state.env_steps;
        self.grad_steps = state.grad_steps;
        self.next_env = state.next_env % num_envs;
        self.recent = state.recent_episodes;
        self.best_mean_return = state.best_mean_return;
        self.last_evaluation = state.last_evaluation;
        self.last_checkpoint = Some(state.env_steps);
        if snapshots.is_none() {
            // They were lost; now they may be mended.
            self.reset_after_failure()?;
        }
        self.clock = Clock::standing(seconds_before);
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
