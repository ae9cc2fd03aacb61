//! THE loop: [`Trainer`].
//!
//! Environments are stepped in a ring, `num_envs` at a time, or fewer where something is due in between: stopping,
//! evaluating, saving and logging happen at exactly their counts, whatever the number of environments.
//!
//! ```text
//! one after the other:  act on s_t, step to s_{t+1}, remember t, updates that t made due
//! pipelined:            act on s_t, step to s_{t+1} while the updates that t−1 made due draw from 0 … t−1, remember t
//! ```
//!
//! So in a pipeline an action is chosen before the updates that the step before it made due, and not after them; nothing
//! depends on who is faster. Between two rounds nothing is under way, whence a checkpoint holds a whole state.

mod clock;
mod logging;
mod parts;
mod scoring;
mod state;
mod stepper;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use sac_envs::EnvError;

use crate::{
    agent::{ActMode, Agent},
    error::{Error, Result},
    evaluate::ObservationSample,
    log::Logger,
    noise::{Streams, derived_seed},
    replay::Replay,
    report::UpdateReport,
    schedule::{EnvSteps, Every, GradSteps},
};
use clock::{Activity, Clock};
pub use parts::{Ending, Parts, Plan, SaveTo};
use scoring::{Evaluator, Scorer};
use state::{RecentEpisodes, Warmup};
use stepper::Stepper;

/// Where the loop stands when it pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Between two groups of environments.
    BetweenGroups,
    /// A group is to act, by what was learned.
    Acting,
    /// A group acts as was chosen.
    Chosen,
    /// A group has stepped, and made updates due.
    Learning,
}

/// See the module.
pub struct Trainer {
    plan: Plan,
    agent: Box<dyn Agent>,
    envs: Stepper,
    evaluator: Evaluator,
    replay: Replay,
    logger: Logger,
    save_to: Option<SaveTo>,
    streams: Streams,
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    /// Which environment is stepped next.
    next_env: usize,
    /// What comes next.
    point: Point,
    /// They failed, and could not even begin anew: a checkpoint holds none of their state.
    envs_are_lost: bool,
    warmup: Warmup,
    recent: RecentEpisodes,
    best_mean_return: Option<f64>,
    actions: Vec<f32>,
    last_report: Option<UpdateReport>,
    last_checkpoint: Option<EnvSteps>,
    last_evaluation: Option<(EnvSteps, f64)>,
    clock: Clock,
}

impl Trainer {
    /// A run at its beginning: environments are reset, each from its own derived seed.
    ///
    /// # Errors
    /// When an environment cannot be reset, or a thread cannot be started.
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts {
            plan,
            agent,
            mut envs,
            eval_envs,
            eval_agent,
            replay,
            logger,
            save_to,
        } = parts;
        let seeds: Vec<u64> = (0..envs.len())
            .map(|index| derived_seed(plan.seed, "env", index as u64))
            .collect();
        envs.reset(&seeds)?;
        let action_width = envs.action_space().len();
        let observation_width = envs.observation_space().len();
        let scorer = Scorer {
            envs: eval_envs,
            episodes: plan.eval_episodes,
            seed: plan.eval_seed,
            sample: plan.inspect.then(|| ObservationSample::new(observation_width)),
        };
        Ok(Trainer {
            streams: Streams::new(plan.seed),
            warmup: Warmup::new(envs.len(), action_width, plan.warmup_hold_env_steps),
            actions: vec![0.0; envs.len() * action_width],
            envs: Stepper::new(envs, plan.pipelined)?,
            evaluator: Evaluator::new(scorer, eval_agent)?,
            plan,
            agent,
            replay,
            logger,
            save_to,
            env_steps: EnvSteps(0),
            grad_steps: GradSteps(0),
            next_env: 0,
            point: Point::BetweenGroups,
            envs_are_lost: false,
            recent: RecentEpisodes::default(),
            best_mean_return: None,
            last_report: None,
            last_checkpoint: None,
            last_evaluation: None,
            clock: Clock::standing(0.0),
        })
    }

    /// Trains until the plan's end, or until `stop` is set. At the end the newest state is logged, scored and saved;
    /// when stopped it is saved.
    ///
    /// # Errors
    /// [`Error::EnvDuringTraining`] when an environment fails, after a checkpoint; [`Error::Diverged`] when a logged
    /// quantity, or a parameter that would be saved, is no longer finite.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Ending> {
        let began_at = self.env_steps;
        let ending = self.run_until(self.plan.total_env_steps, stop)?;
        self.conclude(ending, began_at)?;
        Ok(ending)
    }

    /// [`Trainer::run`] in slices: goes on for about so long, one step at least. `None` says that there is more to do.
    /// However it is sliced, the run is the same to the bit; its clock stands in between.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_for(&mut self, slice: Duration, stop: &AtomicBool) -> Result<Option<Ending>> {
        let began = Instant::now();
        let began_at = self.env_steps;
        self.clock.go_on();
        let ending = self.advance(self.plan.total_env_steps, stop, |point| {
            point == Point::BetweenGroups && began.elapsed() >= slice
        })?;
        match ending {
            Some(ending) => self.conclude(ending, began_at)?,
            None => self.clock.stand(),
        }
        Ok(ending)
    }

    /// What comes after the last step.
    fn conclude(&mut self, ending: Ending, began_at: EnvSteps) -> Result<()> {
        let is_scored = self.last_evaluation.is_some_and(|(at, _)| at == self.env_steps);
        let scores_now = ending == Ending::Finished && self.plan.eval_every != Every::Never && !is_scored;
        // A run that is resumed at its end has written its last row already, unless it was cut off just before.
        let moved = self.env_steps > began_at;
        if ending == Ending::Finished && (moved || scores_now) && !self.plan.log_every.due(self.env_steps) {
            self.log()?;
        }
        if scores_now {
            self.evaluate()?;
            self.take_score(true)?;
        }
        // Saved again after a last evaluation, so that a longer run knows the best score so far.
        if scores_now || self.last_checkpoint != Some(self.env_steps) {
            self.check_finite()?;
            self.save();
        }
        if ending == Ending::Finished {
            self.logger.finished();
        }
        Ok(())
    }

    /// Trains to a count of its own and stops there, doing what is due on the way and nothing besides: going on later
    /// is as if it had never stopped.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_until(&mut self, total: EnvSteps, stop: &AtomicBool) -> Result<Ending> {
        self.clock.restart();
        let ending = self.advance(total, stop, |_| false)?;
        Ok(ending.unwrap_or(Ending::Interrupted)) // it is never told to pause
    }

    fn advance(
        &mut self,
        total: EnvSteps,
        stop: &AtomicBool,
        pauses: impl Fn(Point) -> bool,
    ) -> Result<Option<Ending>> {
        let ending = self.go_on_until(total, stop, pauses);
        if let Ok(None) = ending {
            return ending;
        }
        // Whatever happened: what is under way beside training is of use.
        let scored = self.take_score(true);
        ending.and_then(|ending| scored.map(|()| ending))
    }

    /// The loop. It pauses, with `None`, where it is told to, and goes on there. Only between two groups of environments
    /// it can be told to stop: in the midst of one nothing may stop that does not stop there in every run.
    fn go_on_until(
        &mut self,
        total: EnvSteps,
        stop: &AtomicBool,
        pauses: impl Fn(Point) -> bool,
    ) -> Result<Option<Ending>> {
        self.clock.reached(self.env_steps, self.plan.warmup_env_steps);
        while self.point != Point::BetweenGroups || self.env_steps < total {
            if self.point == Point::BetweenGroups {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Some(Ending::Interrupted));
                }
                self.point = Point::Acting;
            }
            if self.point != Point::Learning {
                let group = self.next_env..self.next_env + self.group_len(total);
                if self.point == Point::Acting {
                    if self.env_steps >= self.plan.warmup_env_steps && pauses(Point::Acting) {
                        return Ok(None);
                    }
                    self.choose_actions(group.clone());
                }
                self.point = Point::BetweenGroups; // should environments fail
                self.step_envs(group)?;
            }
            if !self.plan.pipelined {
                if self.has_update_due() && pauses(Point::Learning) {
                    self.point = Point::Learning;
                    return Ok(None);
                }
                self.learn();
            }
            self.point = Point::BetweenGroups;

            self.logger.progress(self.env_steps);
            self.clock.reached(self.env_steps, self.plan.warmup_env_steps);
            if self.plan.log_every.due(self.env_steps) {
                self.take_score(false)?;
                self.log()?;
            }
            if self.plan.eval_every.due(self.env_steps) {
                self.evaluate()?;
            }
            if self.plan.checkpoint_every.due(self.env_steps) {
                self.take_score(true)?;
                self.check_finite()?;
                self.save();
            }
            if self.env_steps < total && pauses(Point::BetweenGroups) {
                return Ok(None);
            }
        }
        Ok(Some(Ending::Finished))
    }

    /// Updates due by now.
    fn due(&self) -> GradSteps {
        self.plan
            .updates_per_env_step
            .due(self.env_steps, self.plan.warmup_env_steps)
    }

    /// Whether there is an update to make now.
    fn has_update_due(&self) -> bool {
        self.grad_steps < self.due() && self.replay.len() > 0
    }

    /// Makes all updates that are due.
    fn learn(&mut self) {
        let due = self.due();
        self.clock.spent_on(Activity::Rest);
        while self.grad_steps < due {
            let Some(batch) = self.replay.sample(&mut self.streams.replay) else {
                break;
            };
            let report = self.agent.update(&batch, &mut self.streams.update);
            self.learned(report);
        }
        self.clock.spent_on(Activity::Learning);
    }

    /// Takes in what an update reports.
    fn learned(&mut self, report: UpdateReport) {
        self.replay.learned(&report);
        self.last_report = Some(report);
        self.grad_steps += 1;
    }

    /// How many environments to step now: to the end of the ring, but not past anything that is due.
    fn group_len(&self, total: EnvSteps) -> usize {
        let plan = &self.plan;
        let dues =
            [plan.eval_every, plan.checkpoint_every, plan.log_every].map(|every| every.next_after(self.env_steps));
        let in_warmup = self.env_steps < plan.warmup_env_steps;
        let due = dues
            .into_iter()
            .flatten()
            .chain(in_warmup.then_some(plan.warmup_env_steps))
            .fold(total, EnvSteps::min);
        (self.envs.envs().len() - self.next_env).min((due.0 - self.env_steps.0) as usize)
    }

    /// Fills `actions` for a group of environments.
    fn choose_actions(&mut self, group: std::ops::Range<usize>) {
        let envs = self.envs.envs();
        let width = envs.action_space().len();
        let actions = &mut self.actions[..group.len() * width];
        self.clock.spent_on(Activity::Rest);
        if self.env_steps < self.plan.warmup_env_steps {
            self.warmup
                .choose(group, envs.action_space(), &mut self.streams.explore, actions);
        } else {
            let obs_width = envs.observation_space().len();
            let obs = &envs.current().obs[group.start * obs_width..group.end * obs_width];
            self.agent
                .act(obs, ActMode::Explore, &mut self.streams.explore, actions);
        }
        self.clock.spent_on(Activity::Acting);
    }

    /// Steps a group of environments, in a pipeline while the learner updates, and remembers what happened.
    fn step_envs(&mut self, group: std::ops::Range<usize>) -> Result<()> {
        let envs = self.envs.envs();
        let (action_width, obs_width) = (envs.action_space().len(), envs.observation_space().len());
        // The observations acted on, before the step overwrites them.
        self.warmup.before.copy_from(&envs.current().obs, obs_width, &group);
        self.agent.observe(self.warmup.before.all());
        let actions = group.len() * action_width;
        let outcome = if self.plan.pipelined && self.grad_steps < self.due() {
            self.envs.begin(group.clone(), &self.actions[..actions]);
            // Where no core is free, the thread may have begun on this one.
            self.clock.spent_on(Activity::Stepping);
            self.learn();
            self.envs.finish()
        } else {
            self.envs.step(group.clone(), &self.actions[..actions])
        };
        self.clock.spent_on(Activity::Stepping);
        if let Err(error) = outcome {
            return Err(self.give_up(error));
        }
        let step = self.envs.envs().current();
        for (offset, env) in group.clone().enumerate() {
            self.replay.push(
                env,
                self.warmup.before.row(offset),
                &self.actions[offset * action_width..(offset + 1) * action_width],
                step.reward[env],
                step.status[env],
                &step.next_obs[env * obs_width..(env + 1) * obs_width],
            );
        }
        for episode in &step.finished {
            self.recent.push(episode.episode_return, episode.length);
            self.warmup.episode_ended(episode.env);
        }
        self.env_steps += group.len() as u64;
        self.next_env = group.end % self.envs.envs().len();
        Ok(())
    }

    /// An environment failed. Its episode cannot go on, so all environments begin anew, at the latest when the run is
    /// resumed; what was learned is saved.
    fn give_up(&mut self, source: EnvError) -> Error {
        self.replay.abandon_windows();
        self.envs_are_lost = self.reset_after_failure().is_err();
        self.failed(source)
    }

    fn reset_after_failure(&mut self) -> Result<()> {
        let envs = self.envs.envs_mut();
        let first = self.env_steps.0.wrapping_mul(envs.len() as u64);
        let seeds: Vec<u64> = (0..envs.len() as u64)
            .map(|env| derived_seed(self.plan.seed, "env.after_failure", first.wrapping_add(env)))
            .collect();
        envs.reset(&seeds)?;
        Ok(())
    }

    /// Saves, and says what happened.
    fn failed(&mut self, source: EnvError) -> Error {
        // A diverged agent acts with NaN: then the environment is not to blame, and the agent not worth saving.
        if let Err(diverged) = self.check_finite() {
            return diverged;
        }
        Error::EnvDuringTraining {
            source,
            env_steps: self.env_steps.0,
            checkpoint: self.save(),
        }
    }

    /// A checkpoint of a diverged agent would be of no use, and would push out those that are.
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

    /// Writes a checkpoint and says where. A failure is reported and does not end the run; the previous checkpoint
    /// stays.
    pub fn save(&mut self) -> Option<PathBuf> {
        // Only where something else went wrong there may still be an evaluation under way.
        if let Err(error) = self.take_score(true) {
            tracing::warn!("an evaluation failed: {error}");
        }
        self.clock.spent_on(Activity::Rest);
        let outcome = self.save_now();
        self.clock.spent_on(Activity::Saving);
        outcome
    }

    fn save_now(&mut self) -> Option<PathBuf> {
        let save_to = self.save_to.as_ref()?;
        let sections = self.sections();
        let outcome =
            sections.and_then(|sections| save_to.checkpoints.save(self.env_steps, self.grad_steps, &sections));
        match outcome {
            Ok(path) => {
                self.last_checkpoint = Some(self.env_steps);
                Some(path)
            }
            Err(error) => {
                let last = self.last_checkpoint_path();
                let last = last.map_or("there is none yet".to_string(), |path| {
                    format!("the last good one is {}", path.display())
                });
                tracing::warn!(
                    "no checkpoint at env step {}: {error}; {last}; nothing else is affected",
                    self.env_steps
                );
                None
            }
        }
    }

    fn last_checkpoint_path(&self) -> Option<PathBuf> {
        Some(self.save_to.as_ref()?.checkpoints.path(self.last_checkpoint?))
    }

    /// Wall time in training, seconds, resumed parts added up.
    pub fn seconds(&self) -> f64 {
        self.clock.seconds()
    }

    /// Env steps taken.
    pub fn env_steps(&self) -> EnvSteps {
        self.env_steps
    }

    /// Updates taken.
    pub fn grad_steps(&self) -> GradSteps {
        self.grad_steps
    }

    /// The newest evaluation: when, and the mean return.
    pub fn last_evaluation(&self) -> Option<(EnvSteps, f64)> {
        self.last_evaluation
    }

    /// The best mean return of an evaluation.
    pub fn best_mean_return(&self) -> Option<f64> {
        self.best_mean_return
    }

    /// Whether this run saved its newest state.
    pub fn is_saved(&self) -> bool {
        self.last_checkpoint == Some(self.env_steps)
    }

    /// Who learns.
    pub fn agent(&self) -> &dyn Agent {
        self.agent.as_ref()
    }

    /// Gives the agent away, trained as it is.
    pub fn into_agent(self) -> Box<dyn Agent> {
        self.agent
    }
}
