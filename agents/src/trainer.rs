//! THE loop: [`Trainer`].
//!
//! Environments are stepped in a ring, `num_envs` at a time, or fewer where something is due in between: stopping,
//! evaluating, saving and logging happen at exactly their counts, whatever the number of environments.
//!
//! ```text
//! one after the other:  act on s_t, step to s_{t+1}, store t, make the updates that t made due
//! pipelined:            act on s_t, step to s_{t+1} while the updates that t−1 made due sample from 0 … t−1, store t
//! ```
//!
//! In a pipeline, an action is therefore chosen before the updates that the previous step made due, not after them.
//! Nothing depends on timing. Checkpoints are taken between rounds of the loop, when no environment steps and no update
//! runs.

mod before_end;
mod clock;
mod episodes;
mod logging;
mod parts;
mod saving;
mod scorer;
mod scoring;
pub mod settings;
mod stepper;
mod warmup;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use sac_envs::Status;

use crate::{
    agent::Agent,
    error::{Error, Result},
    evaluate::ObservationSample,
    log::Logger,
    noise::{Streams, derived_seed},
    replay::Replay,
    report::UpdateReport,
    schedule::{EnvSteps, Every, GradSteps, UpdateSchedule},
};
use before_end::BeforeEnd;
use clock::{Activity, Clock};
use episodes::RecentEpisodes;
pub use parts::{Ending, Parts, SaveTo};
use scorer::{Evaluator, Scorer};
use settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings};
use stepper::Stepper;
use warmup::Warmup;

/// Trains an agent in environments: it steps them, stores transitions, makes the agent learn, and logs, scores and
/// saves it on the way.
pub struct Trainer {
    train: TrainSettings,
    eval: EvalSettings,
    checkpoint: CheckpointSettings,
    log: LogSettings,
    agent: Box<dyn Agent>,
    envs: Stepper,
    evaluator: Evaluator,
    replay: Replay,
    logger: Logger,
    save_to: Option<SaveTo>,
    streams: Streams,
    updates: UpdateSchedule,
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    /// The environment that is stepped next.
    next_env: usize,
    /// Whether the environments failed and could not even be reset: a checkpoint holds none of their state then.
    envs_are_lost: bool,
    warmup: Warmup,
    /// Observations `[group, O]` that the current group acts on; the environments overwrite theirs.
    obs: Vec<f32>,
    /// Actions `[group, A]` of the current group.
    actions: Vec<f32>,
    /// Entropies `[group]` of the policy where the current group is, nats; zeros unless n-step returns are soft.
    entropies: Vec<f64>,
    recent: RecentEpisodes,
    best_mean_return: Option<f64>,
    last_report: Option<UpdateReport>,
    /// Kinds of warnings of the environments that were reported.
    reported_warnings: BTreeSet<&'static str>,
    last_row: Option<EnvSteps>,
    last_checkpoint: Option<EnvSteps>,
    last_evaluation: Option<(EnvSteps, f64)>,
    /// Set where the run ends.
    before_end: Option<BeforeEnd>,
    clock: Clock,
}

impl Trainer {
    /// A run at its beginning. Every environment is reset, from a derived seed of its own.
    ///
    /// # Errors
    /// When an environment cannot be reset, or a thread cannot be started.
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts {
            train,
            eval,
            checkpoint,
            log,
            agent,
            mut envs,
            eval_envs,
            eval_agent,
            replay,
            logger,
            save_to,
        } = parts;
        let seeds: Vec<u64> = (0..envs.len())
            .map(|index| derived_seed(train.seed, "env", index as u64))
            .collect();
        envs.reset(&seeds)?;
        let action_width = envs.action_space().len();
        let observation_width = envs.observation_space().len();
        let scorer = Scorer {
            envs: eval_envs,
            episodes: eval.episodes as usize,
            seed: eval.seed,
            sample: eval.inspect.then(|| ObservationSample::new(observation_width)),
        };
        Ok(Trainer {
            streams: Streams::new(train.seed),
            warmup: Warmup::new(envs.len(), action_width, train.warmup_hold_env_steps),
            obs: Vec::with_capacity(envs.len() * observation_width),
            actions: Vec::with_capacity(envs.len() * action_width),
            entropies: vec![0.0; envs.len()],
            envs: Stepper::new(envs, train.pipelined)?,
            updates: UpdateSchedule {
                per_env_step: train.updates_per_env_step,
                from_env_steps: EnvSteps(train.warmup_env_steps),
                from_grad_steps: GradSteps(0),
            },
            evaluator: Evaluator::new(scorer, eval_agent)?,
            train,
            eval,
            checkpoint,
            log,
            agent,
            replay,
            logger,
            save_to,
            env_steps: EnvSteps(0),
            grad_steps: GradSteps(0),
            next_env: 0,
            envs_are_lost: false,
            recent: RecentEpisodes::default(),
            best_mean_return: None,
            last_report: None,
            reported_warnings: BTreeSet::new(),
            last_row: None,
            last_checkpoint: None,
            last_evaluation: None,
            before_end: None,
            clock: Clock::new(0.0),
        })
    }

    /// Trains until `train.total_env_steps`, until an evaluation reaches `eval.stop_at`, or until `stop` is set. At the
    /// end the final state is logged, scored and saved; when stopped it is saved.
    ///
    /// # Errors
    /// [`Error::EnvDuringTraining`] when an environment fails, after a checkpoint;
    /// [`Error::NotSaved`] when the final state cannot be saved;
    /// [`Error::Diverged`] when a logged value, or a parameter that would be saved, is not
    /// finite.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Ending> {
        self.run_with_pause(None, stop)
    }

    /// [`Trainer::run`], which stops of itself at `pause_at`, with a checkpoint, if the end is not reached by then. Environments
    /// that step together take that step first, so that going on later gives the same run as not stopping.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_with_pause(&mut self, pause_at: Option<EnvSteps>, stop: &AtomicBool) -> Result<Ending> {
        let began_at = self.env_steps;
        let end = EnvSteps(self.train.total_env_steps);
        let mut ending = self.run_towards(end, pause_at.unwrap_or(end), stop)?;
        if self.env_steps < end && self.return_that_ended().is_none() {
            ending = Ending::Interrupted;
        }
        self.conclude(ending, began_at, stop)
    }

    /// Trains until a count of its own, or until an evaluation reaches `eval.stop_at`, and does only what is due on the
    /// way. Going on later gives the same run as not stopping there, if the count is a multiple of the number of
    /// environments.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_until(&mut self, total: EnvSteps, stop: &AtomicBool) -> Result<Ending> {
        self.run_towards(total, total, stop)
    }

    /// Trains towards `total`, until at least `until` env steps are taken.
    fn run_towards(&mut self, total: EnvSteps, until: EnvSteps, stop: &AtomicBool) -> Result<Ending> {
        if self.env_steps < total && self.return_that_ended().is_none() {
            self.forget_end()?;
        }
        self.clock.start();
        self.clock
            .reached(self.env_steps, EnvSteps(self.train.warmup_env_steps));
        if self.is_evaluation_pending() {
            self.evaluate(stop)?;
        }
        let ending = self.train_towards(total, until, stop);
        if self.is_scoring() && matches!(ending, Ok(Ending::Interrupted)) {
            // The evaluation may take long, and a second signal ends the process: what was learned is safe by then.
            self.save_without_score();
        }
        // Also after a failure, the score of an evaluation that still runs is of use.
        let scored = self.take_score(true);
        ending.and_then(|ending| scored.map(|()| ending))
    }

    /// The loop.
    fn train_towards(&mut self, total: EnvSteps, until: EnvSteps, stop: &AtomicBool) -> Result<Ending> {
        while self.env_steps < total.min(until) && self.return_that_ended().is_none() {
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Interrupted);
            }
            let group = self.next_group(total);
            self.act(group.clone());
            self.step(group.clone())?;
            self.store(group);
            self.learn()?;
            self.report_progress();
            if self.log.every.due(self.env_steps) {
                self.take_score(false)?;
                self.write_row()?;
            }
            if self.eval.every.due(self.env_steps) {
                // Beside training, the score before this one may end the run; the end is scored anyway.
                self.take_score(true)?;
                if self.return_that_ended().is_none() {
                    self.evaluate(stop)?;
                }
            }
            if self.checkpoint.every.due(self.env_steps) {
                self.save_finite()?;
            }
        }
        Ok(Ending::Finished)
    }

    /// The environments to step now: to the end of the ring, but not past a count at which something is due.
    fn next_group(&self, total: EnvSteps) -> Range<usize> {
        let warmup = EnvSteps(self.train.warmup_env_steps);
        let due = [self.eval.every, self.checkpoint.every, self.log.every]
            .map(|every| every.next_after(self.env_steps))
            .into_iter()
            .flatten()
            .chain((self.env_steps < warmup).then_some(warmup))
            .fold(total, EnvSteps::min);
        let left_in_ring = self.envs.envs().len() - self.next_env;
        let left_until_due = (due.0 - self.env_steps.0) as usize;
        self.next_env..self.next_env + left_in_ring.min(left_until_due)
    }

    /// Chooses actions for a group of environments: at random in the warm-up, by the policy afterwards.
    fn act(&mut self, group: Range<usize>) {
        let envs = self.envs.envs();
        let (action_space, obs_width) = (envs.action_space(), envs.observation_space().len());
        self.obs.clear();
        self.obs
            .extend_from_slice(&envs.current().obs[group.start * obs_width..group.end * obs_width]);
        self.actions.resize(group.len() * action_space.len(), 0.0);
        self.entropies.resize(group.len(), 0.0);
        let rng = &mut self.streams.explore;
        self.clock.spent_on(Activity::Rest);
        if self.env_steps.0 < self.train.warmup_env_steps {
            self.warmup.act(group, action_space, rng, &mut self.actions);
        } else {
            self.agent.explore(group, &self.obs, rng, &mut self.actions);
        }
        if self.replay.is_soft() {
            let stream = &mut self.streams.entropy;
            self.agent.entropy(&self.obs, stream, &mut self.entropies);
        }
        self.clock.spent_on(Activity::Acting);
    }

    /// Steps a group of environments. In a pipeline, the updates that earlier steps made due are made meanwhile.
    fn step(&mut self, group: Range<usize>) -> Result<()> {
        self.agent.observe(&self.obs);
        let outcome = if self.train.pipelined && self.grad_steps < self.updates_due() {
            self.envs.begin(group, &self.actions);
            // Without a free core, the stepping thread may have run on this one.
            self.clock.spent_on(Activity::Stepping);
            let made = self.make_updates();
            let stepped = self.envs.finish();
            made.map_err(|error| self.updates_failed(error))?;
            stepped
        } else {
            self.envs.step(group, &self.actions)
        };
        self.clock.spent_on(Activity::Stepping);
        outcome.map_err(|error| self.abandon_episodes(error))
    }

    /// Stores the transitions of a group of environments that has stepped.
    fn store(&mut self, group: Range<usize>) {
        let envs = self.envs.envs();
        let (action_width, obs_width) = (envs.action_space().len(), envs.observation_space().len());
        let step = envs.current();
        let rows = self
            .obs
            .chunks_exact(obs_width)
            .zip(self.actions.chunks_exact(action_width))
            .zip(&self.entropies);
        for (env, ((obs, action), entropy)) in group.clone().zip(rows) {
            let next_obs = &step.next_obs[env * obs_width..(env + 1) * obs_width];
            let earned = (step.reward[env], *entropy);
            self.replay
                .push_soft(env, obs, action, earned, step.status[env], next_obs);
            let ended = step.status[env] != Status::Running;
            self.agent.observe_reward(env, step.reward[env], ended);
        }
        for episode in &step.finished {
            self.recent.push(episode);
            self.warmup.episode_ended(episode.env);
        }
        self.env_steps += group.len() as u64;
        self.next_env = group.end % envs.len();
    }

    /// Makes the updates that are due. In a pipeline they wait for the next step.
    fn learn(&mut self) -> Result<()> {
        match self.train.pipelined {
            true => Ok(()),
            false => self.make_updates().map_err(|error| self.updates_failed(error)),
        }
    }

    fn updates_failed(&mut self, error: Error) -> Error {
        match error {
            Error::Env(source) => self.abandon_episodes(source),
            other => other,
        }
    }

    fn make_updates(&mut self) -> Result<()> {
        let due = self.updates_due();
        self.clock.spent_on(Activity::Rest);
        while self.grad_steps < due {
            let Some(batch) = self.replay.sample(&mut self.streams.replay)? else {
                break;
            };
            let report = self.agent.update(&batch, &mut self.streams.update);
            self.replay.learned(&report);
            self.last_report = Some(report);
            self.grad_steps += 1;
        }
        self.clock.spent_on(Activity::Learning);
        Ok(())
    }

    /// Updates that should have been made by now.
    fn updates_due(&self) -> GradSteps {
        self.updates.due(self.env_steps)
    }

    fn report_progress(&mut self) {
        self.logger.progress(self.env_steps);
        self.clock
            .reached(self.env_steps, EnvSteps(self.train.warmup_env_steps));
    }

    /// What follows the last step.
    fn conclude(&mut self, mut ending: Ending, began_at: EnvSteps, stop: &AtomicBool) -> Result<Ending> {
        let is_scored = |trainer: &Self| trainer.last_evaluation.is_some_and(|(at, _)| at == trainer.env_steps);
        let scores_now = ending == Ending::Finished && self.eval.every != Every::Never && !is_scored(self);
        // A run that is resumed at its end has written its last row already, unless it was cut off just before.
        let has_moved = self.env_steps > began_at;
        let writes_row = (has_moved || scores_now) && self.last_row != Some(self.env_steps);
        if ending == Ending::Finished {
            self.note_end();
        }
        if ending == Ending::Finished && writes_row {
            self.write_row()?;
        }
        if scores_now {
            self.evaluate(stop)?;
            self.take_score(true)?;
            if !is_scored(self) {
                ending = Ending::Interrupted;
            }
        }
        // Saved again after a last evaluation, so that a longer run knows the best score so far.
        if scores_now || self.last_checkpoint != Some(self.env_steps) {
            self.save_final()?;
        }
        if ending == Ending::Finished {
            self.logger.finished();
        }
        Ok(ending)
    }

    /// Wall time in training, seconds, resumed parts added up.
    pub fn seconds(&self) -> f64 {
        self.clock.seconds()
    }

    /// Env steps taken.
    pub fn env_steps(&self) -> EnvSteps {
        self.env_steps
    }

    /// Updates made.
    pub fn grad_steps(&self) -> GradSteps {
        self.grad_steps
    }

    /// The mean return with which an evaluation ended the run before `train.total_env_steps`, because it reached
    /// `eval.stop_at`.
    pub fn ended_early_at(&self) -> Option<f64> {
        let is_early = self.env_steps < EnvSteps(self.train.total_env_steps);
        self.return_that_ended().filter(|_| is_early)
    }

    /// The latest evaluation: at which count, and its mean return.
    pub fn last_evaluation(&self) -> Option<(EnvSteps, f64)> {
        self.last_evaluation
    }

    /// The best mean return of an evaluation.
    pub fn best_mean_return(&self) -> Option<f64> {
        self.best_mean_return
    }

    /// The agent that learns.
    pub fn agent(&self) -> &dyn Agent {
        self.agent.as_ref()
    }

    /// Gives the agent away, trained as it is.
    pub fn into_agent(self) -> Box<dyn Agent> {
        self.agent
    }
}
