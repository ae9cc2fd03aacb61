//! Checkpoints of a run: what they hold, when they are written, and how a run goes on from one.

use std::{collections::BTreeSet, path::PathBuf};

use sac_envs::EnvError;
use serde::{Deserialize, Serialize};

use super::{
    Trainer,
    before_end::BeforeEnd,
    clock::{Activity, Clock},
    episodes::RecentEpisodes,
    settings::SavedReplay,
    warmup::HeldActions,
};
use crate::{
    checkpoint::{Checkpoint, Section},
    error::{Error, Result},
    log::Logger,
    noise::{StreamPosition, derived_seed},
    schedule::{EnvSteps, GradSteps, UpdateSchedule},
};

/// What the trainer itself puts into a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainerState {
    seed: u64,
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    next_env: usize,
    updates: UpdateSchedule,
    warmup: HeldActions,
    recent_episodes: RecentEpisodes,
    best_mean_return: Option<f64>,
    last_evaluation: Option<(EnvSteps, f64)>,
    before_end: Option<BeforeEnd>,
    last_row: Option<EnvSteps>,
    streams: Vec<(String, StreamPosition)>,
}

impl Trainer {
    /// Writes a checkpoint and returns its folder. A failure is reported and does not end the run; the previous
    /// checkpoint stays.
    pub fn save(&mut self) -> Option<PathBuf> {
        // An evaluation is still running only after another failure.
        if let Err(error) = self.take_score(true) {
            tracing::warn!("an evaluation failed: {error}");
        }
        self.write_checkpoint().unwrap_or_else(|error| {
            let last = self.last_checkpoint_path();
            let last = last.map_or("there is none yet".to_string(), |path| {
                format!("the last good one is {}", path.display())
            });
            tracing::warn!(
                "no checkpoint at env step {}: {error}; {last}; nothing else is affected",
                self.env_steps
            );
            None
        })
    }

    /// Writes a checkpoint that knows every score so far.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a parameter is not finite: the checkpoint would be of no use, and would push out one
    /// that is. [`Error::EnvDuringTraining`] when the evaluation that was running failed.
    pub(super) fn save_finite(&mut self) -> Result<()> {
        self.take_score(true)?;
        self.check_finite()?;
        self.save();
        Ok(())
    }

    /// Writes a checkpoint where nothing comes after it that could save the state: a failure is an error.
    ///
    /// # Errors
    /// [`Error::NotSaved`]; [`Error::Diverged`]; [`Error::EnvDuringTraining`] when the evaluation that was running failed.
    pub fn save_final(&mut self) -> Result<()> {
        self.take_score(true)?;
        self.check_finite()?;
        match self.write_checkpoint() {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::NotSaved {
                env_steps: self.env_steps.0,
                source: Box::new(error),
                checkpoint: self.last_checkpoint_path().filter(|path| path.is_dir()),
            }),
        }
    }

    /// Writes a checkpoint while an evaluation runs beside training. Another one with its score is to follow.
    pub(super) fn save_without_score(&mut self) {
        let before = self.last_checkpoint;
        if let Err(error) = self.write_checkpoint() {
            tracing::warn!("no checkpoint at env step {}: {error}", self.env_steps);
        }
        self.last_checkpoint = before;
    }

    /// Writes a checkpoint and returns its folder; `None` if the run has none.
    fn write_checkpoint(&mut self) -> Result<Option<PathBuf>> {
        self.clock.spent_on(Activity::Rest);
        let outcome = self.save_to.as_ref().map(|save_to| -> Result<PathBuf> {
            let sections = self.sections(self.checkpoint.replay != SavedReplay::None)?;
            let path = save_to.checkpoints.save(self.env_steps, self.grad_steps, &sections)?;
            if self.checkpoint.replay == SavedReplay::Last
                && let Err(error) = save_to.checkpoints.leave_out_before(self.env_steps, "replay")
            {
                tracing::warn!("an older checkpoint keeps its replay: {error}; the new one is whole");
            }
            Ok(path)
        });
        self.clock.spent_on(Activity::Saving);
        let path = outcome.transpose()?;
        if path.is_some() {
            self.last_checkpoint = Some(self.env_steps);
        }
        Ok(path)
    }

    pub(super) fn last_checkpoint_path(&self) -> Option<PathBuf> {
        Some(self.save_to.as_ref()?.checkpoints.path(self.last_checkpoint?))
    }

    fn check_finite(&self) -> Result<()> {
        if self.agent.is_finite() {
            return Ok(());
        }
        Err(Error::Diverged {
            what: "a parameter of the agent".to_string(),
            grad_steps: self.grad_steps.0,
            checkpoint: self.last_checkpoint_path(),
        })
    }

    /// Handles an environment that failed in a training step. Its episode cannot go on, so all environments begin new
    /// episodes, at the latest when the run is resumed. What was learned is saved.
    pub(super) fn abandon_episodes(&mut self, source: EnvError) -> Error {
        self.replay.abandon_windows();
        self.envs_are_lost = self.reset_after_failure().is_err();
        self.save_after_failure(source)
    }

    fn reset_after_failure(&mut self) -> Result<()> {
        let envs = self.envs.envs_mut();
        let first = self.env_steps.0.wrapping_mul(envs.len() as u64);
        let seeds: Vec<u64> = (0..envs.len() as u64)
            .map(|env| derived_seed(self.train.seed, "env.after_failure", first.wrapping_add(env)))
            .collect();
        envs.reset(&seeds)?;
        Ok(())
    }

    /// Saves after an environment failed, and returns the error to end with.
    pub(super) fn save_after_failure(&mut self, source: EnvError) -> Error {
        // A diverged agent acts with NaN: then it is the cause, and not worth saving.
        if let Err(diverged) = self.check_finite() {
            return diverged;
        }
        Error::EnvDuringTraining {
            source,
            env_steps: self.env_steps.0,
            checkpoint: self.save(),
        }
    }

    /// The whole state of the run, with or without its transitions.
    fn sections(&self, with_replay: bool) -> Result<Vec<Section<'_>>> {
        let mut trainer = Section::new("trainer");
        trainer.set_state(&TrainerState {
            seed: self.train.seed,
            env_steps: self.env_steps,
            grad_steps: self.grad_steps,
            next_env: self.next_env,
            updates: self.updates,
            warmup: self.warmup.state().clone(),
            recent_episodes: self.recent.clone(),
            best_mean_return: self.best_mean_return,
            last_evaluation: self.last_evaluation,
            before_end: self.before_end,
            last_row: self.last_row,
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
        let mut run = Section::new("run");
        if let Some(save_to) = &self.save_to {
            run.set_state(&save_to.settings)?;
        }
        let replay = match with_replay {
            true => self.replay.section()?,
            false => Section::new("replay"),
        };
        let mut sections = vec![run, trainer, envs, replay];
        sections.extend(self.agent.sections()?);
        Ok(sections)
    }

    /// Restores a checkpoint. Nothing is written.
    ///
    /// Updates go on at the rate of this trainer's settings. A checkpoint without its replay fills a new one before the
    /// next update, for as long as a warm-up takes.
    ///
    /// # Errors
    /// When a section does not fit; the trainer must not be used afterwards.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.restore_sections(checkpoint)
            .map_err(|error| checkpoint.locate(error))?;
        let warmup_env_steps = self.train.warmup_env_steps;
        if checkpoint.section("replay")?.is_empty() {
            self.updates_from(EnvSteps(self.env_steps.0.saturating_add(warmup_env_steps)));
        } else if self.updates.per_env_step != self.train.updates_per_env_step {
            self.updates_from(self.env_steps.max(EnvSteps(warmup_env_steps)));
        }
        Ok(())
    }

    /// Counts the updates that are due from a count of env steps on.
    fn updates_from(&mut self, from_env_steps: EnvSteps) {
        self.updates = UpdateSchedule {
            per_env_step: self.train.updates_per_env_step,
            from_env_steps,
            from_grad_steps: self.grad_steps,
        };
    }

    /// Begins with what another run has learned: see [`Agent::load_learned`](crate::Agent::load_learned).
    ///
    /// # Errors
    /// When it does not fit; the trainer must not be used afterwards.
    pub fn begin_with(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.agent
            .load_learned(checkpoint)
            .map_err(|error| checkpoint.locate(error))?;
        self.check_finite()
    }

    /// Prepares a restored trainer to go on. `seconds_before` is the wall time that the run had taken by the checkpoint,
    /// which does not hold it, because equal states must give equal bytes.
    pub fn go_on(&mut self, logger: Logger, seconds_before: f64) {
        self.logger = logger;
        self.clock = Clock::new(seconds_before);
    }

    fn restore_sections(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let state: TrainerState = checkpoint.section("trainer")?.state()?;
        let mismatch = |problem: String| Err(Error::section("trainer", problem));
        let manifest = &checkpoint.manifest;
        if (state.env_steps, state.grad_steps) != (manifest.env_steps, manifest.grad_steps) {
            return mismatch(format!(
                "was written at env step {} and update {}, but its manifest says {} and {}",
                state.env_steps, state.grad_steps, manifest.env_steps, manifest.grad_steps
            ));
        }
        if state.seed != self.train.seed {
            return mismatch(format!(
                "was written with seed {}, expected {}",
                state.seed, self.train.seed
            ));
        }
        let num_envs = self.envs.envs().len();
        if !self.warmup.restore(state.warmup) {
            return mismatch(format!(
                "was written with another number of environments than {num_envs}"
            ));
        }
        self.agent.load(checkpoint)?;
        let replay = checkpoint.section("replay")?;
        match replay.is_empty() {
            true => self.replay.begin_anew(state.grad_steps),
            false => self.replay.load(&replay)?,
        }
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
        self.env_steps = state.env_steps;
        self.grad_steps = state.grad_steps;
        self.updates = state.updates;
        self.next_env = state.next_env % num_envs;
        self.recent = state.recent_episodes;
        self.best_mean_return = state.best_mean_return;
        self.last_evaluation = state.last_evaluation;
        self.before_end = state.before_end;
        self.last_row = state.last_row;
        self.last_checkpoint = Some(state.env_steps);
        self.check_what_was_read(checkpoint)?;
        if snapshots.is_none() {
            // They failed in the run that saved this; they may work now.
            self.reset_after_failure()?;
        }
        Ok(())
    }

    /// Refuses a state that no run can have: digests are right also in a checkpoint that somebody made. What was read has
    /// to be what would be written, without anything that is left over.
    fn check_what_was_read(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mismatch = |problem: String| Err(Error::section("trainer", problem));
        let due = self.updates.due(self.env_steps);
        if self.grad_steps > due {
            return mismatch(format!(
                "was written after {} updates, but {due} are due at env step {}",
                self.grad_steps, self.env_steps
            ));
        }
        if let Some(steps) = self.agent.grad_steps().filter(|steps| *steps != self.grad_steps) {
            let problem = format!("was written after {steps} updates, expected {}", self.grad_steps);
            return Err(Error::section("agent", problem));
        }
        self.check_scores().or_else(|problem| mismatch(problem.to_string()))?;
        if !self.warmup.holds_actions_of(self.envs.envs().action_space()) {
            return mismatch("holds an action that the environments do not take".to_string());
        }
        if !self.agent.is_finite() {
            return Err(Error::section("agent", "a parameter is not finite"));
        }
        // The section `run` is compared by the program that fills it. The state of an environment is not compared: a
        // user's environment may write equal states in different orders.
        let sections = self.sections(!checkpoint.section("replay")?.is_empty())?;
        let own = sections.iter().map(|section| section.name());
        let own: BTreeSet<&str> = own.filter(|name| *name != "run").collect();
        let mut read = checkpoint.section_names();
        read.remove("run");
        if let Some(name) = read.symmetric_difference(&own).next() {
            let problem = match own.contains(name) {
                true => "the checkpoint has no such section",
                false => "no run has such a section",
            };
            return Err(Error::section(name, problem));
        }
        for section in sections.iter().filter(|section| section.name() != "run") {
            let read = checkpoint.section(section.name())?;
            section.check_tensors_of(&read)?;
            // The replay was checked when it was loaded: it may not fit into memory twice.
            if section.name() != "replay" {
                read.check_no_nan()?;
            }
            if section.name() != "envs" {
                section.check_state_of(&read)?;
            }
        }
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
