//! Scoring the policy: while training waits, or beside it.
//!
//! Beside training a copy of the agent is scored, on a thread of its own, as it stood when the evaluation was due.
//! Training never reads anything of it but the scores, and takes those in at the latest before the next evaluation,
//! before a checkpoint and at the end: what is saved knows every score so far.

use std::{
    borrow::Cow,
    panic::resume_unwind,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::{self, JoinHandle},
};

use sac_envs::{EnvError, VecEnv};

use super::{Trainer, clock::Activity};
use crate::{
    agent::{ActMode, Agent},
    checkpoint::{self, Checkpoint, Section},
    error::{Error, Result},
    evaluate::{Evaluation, ObservationSample, evaluate_sampling},
    inspect::Inspection,
    log::Row,
    metrics, process,
    schedule::{EnvSteps, GradSteps},
};

/// What an evaluation needs besides an agent.
pub(super) struct Scorer {
    pub(super) envs: Box<dyn VecEnv>,
    pub(super) episodes: usize,
    pub(super) seed: u64,
    /// What an evaluation visited; none where the agent does not look at its networks.
    pub(super) sample: Option<ObservationSample>,
}

/// What an evaluation found.
pub(super) struct Score {
    evaluation: Evaluation,
    inspection: Inspection,
}

impl Scorer {
    fn score(&mut self, agent: &mut dyn Agent) -> Result<Score> {
        if let Some(sample) = &mut self.sample {
            sample.clear();
        }
        let evaluation = evaluate_sampling(
            agent,
            self.envs.as_mut(),
            self.episodes,
            self.seed,
            ActMode::Evaluate,
            self.sample.as_mut(),
        )?;
        let inspection = self.sample.as_ref().map(|sample| agent.inspect(sample.rows()));
        process::give_back_memory();
        Ok(Score {
            evaluation,
            inspection: inspection.unwrap_or_default(),
        })
    }
}

/// When an evaluation was due.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    seconds: f64,
}

/// Who scores.
pub(super) enum Evaluator {
    /// Training waits.
    Here(Scorer),
    /// Training goes on.
    Beside(Beside),
}

impl Evaluator {
    /// With a copy of the agent evaluations go on beside training.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn new(scorer: Scorer, copy: Option<Box<dyn Agent>>) -> Result<Self> {
        let Some(copy) = copy else {
            return Ok(Evaluator::Here(scorer));
        };
        let env = scorer.envs.describe();
        let beside = Beside::start(scorer, copy).map_err(|error| EnvError::Unsupported {
            env,
            problem: format!("cannot start a thread: {error}"),
        })?;
        Ok(Evaluator::Beside(beside))
    }
}

/// The score of a copy, and the section that acts as it did.
type Scored = Result<(Score, Section<'static>)>;

/// A thread that scores copies.
pub(super) struct Beside {
    /// Taken on drop, which ends the thread.
    requests: Option<Sender<Checkpoint>>,
    answers: Receiver<Scored>,
    thread: Option<JoinHandle<()>>,
    inspects: bool,
    /// Of which there is no score yet.
    under_way: Option<Moment>,
}

impl Beside {
    fn start(mut scorer: Scorer, mut copy: Box<dyn Agent>) -> std::io::Result<Self> {
        let inspects = scorer.sample.is_some();
        let (requests, inbox) = channel::<Checkpoint>();
        let (outbox, answers) = channel();
        let work = move || {
            while let Ok(snapshot) = inbox.recv() {
                let scored = score_of(&snapshot, inspects, copy.as_mut(), &mut scorer);
                if outbox.send(scored).is_err() {
                    break;
                }
            }
        };
        Ok(Beside {
            requests: Some(requests),
            answers,
            thread: Some(thread::Builder::new().name("evaluation".to_string()).spawn(work)?),
            inspects,
            under_way: None,
        })
    }

    /// Copies what an evaluation reads of the agent and hands it over. None may be under way.
    fn begin(&mut self, at: Moment, agent: &dyn Agent) -> Result<()> {
        let sections = match self.inspects {
            true => agent.sections()?,
            false => vec![agent.policy_section()?],
        };
        let snapshot = Checkpoint::in_memory(at.env_steps, at.grad_steps, &sections)?;
        if let Some(requests) = &self.requests {
            // If the thread is gone, the missing answer will tell.
            let _ = requests.send(snapshot);
        }
        self.under_way = Some(at);
        Ok(())
    }

    /// The score of the evaluation under way, if there is one; without `waits` only if it is there already.
    fn take(&mut self, waits: bool) -> Option<(Moment, Scored)> {
        let at = self.under_way?;
        let scored = match waits {
            true => self.answers.recv().map_err(|_| TryRecvError::Disconnected),
            false => self.answers.try_recv(),
        };
        match scored {
            Ok(scored) => {
                self.under_way = None;
                Some((at, scored))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.under_way = None;
                match self.thread.take().map(JoinHandle::join) {
                    Some(Err(panic)) => resume_unwind(panic),
                    _ => unreachable!("the thread ends with its evaluator"),
                }
            }
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // Whoever drops an evaluator is not interested in how it ended.
            let _ = thread.join();
        }
    }
}

fn score_of(snapshot: &Checkpoint, inspects: bool, copy: &mut dyn Agent, scorer: &mut Scorer) -> Scored {
    match inspects {
        true => copy.load(snapshot)?,
        false => copy.load_policy(snapshot)?,
    }
    Ok((scorer.score(copy)?, copy.policy_section()?))
}

impl Trainer {
    /// Scores the policy, or begins to.
    pub(super) fn evaluate(&mut self) -> Result<()> {
        self.take_score(true)?;
        let at = Moment {
            env_steps: self.env_steps,
            grad_steps: self.grad_steps,
            seconds: self.seconds(),
        };
        let outcome = match &mut self.evaluator {
            Evaluator::Here(scorer) => match scorer.score(self.agent.as_mut()) {
                Ok(score) => self.note_score(
                    Moment {
                        seconds: self.seconds(),
                        ..at
                    },
                    &score,
                    None,
                ),
                Err(error) => Err(self.evaluation_failed(error)),
            },
            Evaluator::Beside(beside) => beside.begin(at, self.agent.as_ref()),
        };
        self.clock.spent_on(Activity::Evaluating);
        outcome
    }

    /// Takes in the score of an evaluation that was under way beside training, if there is one and it is there, or,
    /// with `waits`, will be.
    pub(super) fn take_score(&mut self, waits: bool) -> Result<()> {
        let Evaluator::Beside(beside) = &mut self.evaluator else {
            return Ok(());
        };
        let Some((at, scored)) = beside.take(waits) else {
            return Ok(());
        };
        let outcome = match scored {
            Ok((score, policy)) => self.note_score(at, &score, Some(policy)),
            Err(error) => Err(self.evaluation_failed(error)),
        };
        self.clock.spent_on(Activity::Evaluating);
        outcome
    }

    fn evaluation_failed(&mut self, error: Error) -> Error {
        match error {
            Error::Env(source) => self.failed(source),
            other => other,
        }
    }

    /// Logs a score; keeps the policy, as it was then, if it is the best so far.
    fn note_score(&mut self, at: Moment, score: &Score, policy: Option<Section<'static>>) -> Result<()> {
        let Score { evaluation, inspection } = score;
        let Moment {
            env_steps,
            grad_steps,
            seconds,
        } = at;
        let mean_return = evaluation.mean_return();
        let scores = [
            (metrics::EVAL_REWARD_MEAN, mean_return),
            (metrics::EVAL_REWARD_STD, evaluation.std_return()),
            (metrics::EVAL_LENGTH_MEAN, evaluation.mean_length()),
        ];
        let scores = scores.map(|(name, value)| (Cow::Borrowed(name), value)).into_iter();
        let shown = inspection.values.iter();
        let shown = shown.map(|(name, value)| (Cow::Owned(name.clone()), *value));
        self.logger.row(&Row {
            env_steps,
            grad_steps,
            seconds,
            values: scores.chain(shown).collect(),
        });
        for (name, image) in &inspection.images {
            self.logger.image(env_steps, name, image);
        }
        self.last_evaluation = Some((env_steps, mean_return));
        if self.best_mean_return.is_none_or(|best| mean_return > best) {
            self.best_mean_return = Some(mean_return);
            if let Some(save_to) = &self.save_to {
                let policy = policy.map_or_else(|| self.agent.policy_section(), Ok)?;
                if let Err(error) = checkpoint::write(&save_to.best, env_steps, grad_steps, &[policy]) {
                    tracing::warn!("the best policy could not be saved: {error}; training goes on");
                }
            }
        }
        Ok(())
    }
}
