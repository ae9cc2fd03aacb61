//! Scores a policy, while training waits or beside it: [`Evaluator`].
//!
//! Beside training, a copy of the agent as it was when the evaluation was due is scored on a thread of its own.
//! Training reads nothing of it but the scores.

use std::{
    panic::resume_unwind,
    sync::{
        atomic::AtomicBool,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::{self, JoinHandle},
};

use sac_envs::{EnvError, VecEnv};

use crate::{
    agent::{ActMode, Agent},
    checkpoint::{Checkpoint, Section},
    error::Result,
    evaluate::{Evaluation, ObservationSample, evaluate_sampling},
    inspect::Inspection,
    process,
    schedule::{EnvSteps, GradSteps},
};

/// What an evaluation needs besides an agent.
pub(super) struct Scorer {
    pub(super) envs: Box<dyn VecEnv>,
    pub(super) episodes: usize,
    pub(super) seed: u64,
    /// Observations of the episodes, for measures of the networks; `None` where those are switched off.
    pub(super) sample: Option<ObservationSample>,
}

/// The result of an evaluation.
pub(super) struct Score {
    pub(super) evaluation: Evaluation,
    pub(super) inspection: Inspection,
}

impl Scorer {
    /// The score of an agent; `None` if `stop` was set before it was complete.
    pub(super) fn score(&mut self, agent: &mut dyn Agent, stop: &AtomicBool) -> Result<Option<Score>> {
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
            stop,
        )?;
        let Some(evaluation) = evaluation else {
            return Ok(None);
        };
        let inspection = self.sample.as_ref().map(|sample| agent.inspect(sample.rows()));
        process::give_back_memory();
        Ok(Some(Score {
            evaluation,
            inspection: inspection.unwrap_or_default(),
        }))
    }
}

/// The counters and the wall time at which an evaluation was due.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) env_steps: EnvSteps,
    pub(super) grad_steps: GradSteps,
    pub(super) seconds: f64,
}

/// How policies are scored.
pub(super) enum Evaluator {
    /// On the calling thread, while training waits.
    Waiting(Scorer),
    /// On a thread of its own, while training goes on.
    Beside(Beside),
}

impl Evaluator {
    /// An evaluator that scores beside training if it is given a copy of the agent.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn new(scorer: Scorer, copy: Option<Box<dyn Agent>>) -> Result<Self> {
        let Some(copy) = copy else {
            return Ok(Evaluator::Waiting(scorer));
        };
        let env = scorer.envs.describe();
        let beside = Beside::start(scorer, copy).map_err(|error| EnvError::Unsupported {
            env,
            problem: format!("cannot start a thread: {error}"),
        })?;
        Ok(Evaluator::Beside(beside))
    }
}

/// The score of a copy, and its policy.
pub(super) type Scored = Result<(Score, Section<'static>)>;

/// A thread that scores copies of the agent.
pub(super) struct Beside {
    /// Taken on drop, which ends the thread.
    requests: Option<Sender<Checkpoint>>,
    answers: Receiver<Scored>,
    thread: Option<JoinHandle<()>>,
    inspects: bool,
    /// The evaluation that is running.
    running: Option<Moment>,
}

impl Beside {
    fn start(mut scorer: Scorer, mut copy: Box<dyn Agent>) -> std::io::Result<Self> {
        let inspects = scorer.sample.is_some();
        let (requests, inbox) = channel::<Checkpoint>();
        let (outbox, answers) = channel();
        let work = move || {
            while let Ok(snapshot) = inbox.recv() {
                let scored = score_copy(&snapshot, inspects, copy.as_mut(), &mut scorer);
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
            running: None,
        })
    }

    /// Copies what an evaluation reads of the agent and starts it. No other evaluation may be running.
    pub(super) fn begin(&mut self, at: Moment, agent: &dyn Agent) -> Result<()> {
        let sections = match self.inspects {
            true => agent.sections()?,
            false => vec![agent.policy_section()?],
        };
        let snapshot = Checkpoint::in_memory(at.env_steps, at.grad_steps, &sections)?;
        if let Some(requests) = &self.requests {
            // If the thread has ended, `take` finds out.
            let _ = requests.send(snapshot);
        }
        self.running = Some(at);
        Ok(())
    }

    /// Whether an evaluation is running.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The score of the running evaluation, if there is one. With `waits` false, only if it is ready.
    pub(super) fn take(&mut self, waits: bool) -> Option<(Moment, Scored)> {
        let at = self.running?;
        let scored = match waits {
            true => self.answers.recv().map_err(|_| TryRecvError::Disconnected),
            false => self.answers.try_recv(),
        };
        match scored {
            Ok(scored) => {
                self.running = None;
                Some((at, scored))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.running = None;
                match self.thread.take().map(JoinHandle::join) {
                    Some(Err(panic)) => resume_unwind(panic),
                    _ => unreachable!("the thread ends with its evaluator, or by a panic"),
                }
            }
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there is not reported any more: nothing waits for its score.
            let _ = thread.join();
        }
    }
}

fn score_copy(snapshot: &Checkpoint, inspects: bool, copy: &mut dyn Agent, scorer: &mut Scorer) -> Scored {
    match inspects {
        true => copy.load(snapshot)?,
        false => copy.load_policy(snapshot)?,
    }
    let score = scorer.score(copy, &AtomicBool::new(false))?.expect("nobody stops it");
    Ok((score, copy.policy_section()?))
}
