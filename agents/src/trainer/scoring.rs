//! Evaluations of a run: when they start, and what becomes of their scores.
//!
//! The score of an evaluation beside training is taken at the latest before the next evaluation, before a checkpoint
//! and at the end, so that a checkpoint knows every score so far. A run that is stopped meanwhile is saved at
//! once, and again with the score.

use std::{borrow::Cow, fs, path::PathBuf, sync::atomic::AtomicBool};

use super::{
    SaveTo, Trainer,
    before_end::BeforeEnd,
    clock::Activity,
    scorer::{Evaluator, Moment, Score},
};
use crate::{
    checkpoint::{self, Section},
    error::{Error, Result},
    log::Row,
    metrics,
    schedule::EnvSteps,
};

/// The best mean return of evaluations and the latest of them, with its count.
type Scores = (Option<f64>, Option<(EnvSteps, f64)>);

/// Whether evaluations until `at` can have left these scores.
fn are_possible((best, latest): Scores, at: EnvSteps) -> bool {
    match (best, latest) {
        (None, None) => true,
        (Some(best), Some((steps, mean_return))) => best >= mean_return && steps <= at,
        _ => false,
    }
}

impl Trainer {
    /// Refuses scores, read from a checkpoint, that no run can have. The error is a phrase that describes the problem.
    pub(super) fn check_scores(&self) -> std::result::Result<(), &'static str> {
        let now = (self.best_mean_return, self.last_evaluation);
        let before = self
            .before_end
            .map(|before| (before.best_mean_return, before.last_evaluation));
        let rows = self
            .before_end
            .map(|before| before.last_row)
            .into_iter()
            .chain([self.last_row]);
        let are_rows_possible = rows.flatten().all(|row| row <= self.env_steps);
        let is_later = before.is_none_or(|before| before.0 <= now.0);
        let are_all_possible = before
            .into_iter()
            .chain([now])
            .all(|scores| are_possible(scores, self.env_steps));
        match are_rows_possible && is_later && are_all_possible {
            true => Ok(()),
            false => Err("holds scores of evaluations that no run can have"),
        }
    }

    /// Scores the policy, or starts to. When `stop` is set meanwhile, the evaluation is given up: it is made when training
    /// is resumed.
    pub(super) fn evaluate(&mut self, stop: &AtomicBool) -> Result<()> {
        self.take_score(true)?;
        let at = Moment {
            env_steps: self.env_steps,
            grad_steps: self.grad_steps,
            seconds: self.seconds(),
        };
        let outcome = match &mut self.evaluator {
            Evaluator::Waiting(scorer) => match scorer.score(self.agent.as_mut(), stop) {
                Ok(None) => Ok(()),
                Ok(Some(score)) => self.record_score(
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

    /// Whether an evaluation was due at this count and was given up.
    pub(super) fn is_evaluation_pending(&self) -> bool {
        let is_scored = self.last_evaluation.is_some_and(|(at, _)| at == self.env_steps);
        self.env_steps > EnvSteps(0) && self.eval.every.due(self.env_steps) && !is_scored
    }

    /// The mean return of the newest evaluation, if it reaches `eval.stop_at`. An evaluation that was made only because
    /// the run ended does not count: a longer run would not have made it.
    pub(super) fn return_that_ended(&self) -> Option<f64> {
        let newest = match &self.before_end {
            Some(before) => before.last_evaluation,
            None => self.last_evaluation,
        };
        let (_, mean_return) = newest?;
        self.eval
            .stop_at
            .filter(|stop_at| mean_return >= *stop_at)
            .map(|_| mean_return)
    }

    /// Whether an evaluation runs beside training.
    pub(super) fn is_scoring(&self) -> bool {
        matches!(&self.evaluator, Evaluator::Beside(beside) if beside.is_running())
    }

    /// Records the score of the evaluation that runs beside training, if there is one. With `waits` false, only if it
    /// is ready.
    pub(super) fn take_score(&mut self, waits: bool) -> Result<()> {
        let Evaluator::Beside(beside) = &mut self.evaluator else {
            return Ok(());
        };
        let Some((at, scored)) = beside.take(waits) else {
            return Ok(());
        };
        let outcome = match scored {
            Ok((score, policy)) => self.record_score(at, &score, Some(policy)),
            Err(error) => Err(self.evaluation_failed(error)),
        };
        self.clock.spent_on(Activity::Evaluating);
        outcome
    }

    fn evaluation_failed(&mut self, error: Error) -> Error {
        match error {
            Error::Env(source) => self.save_after_failure(source),
            other => other,
        }
    }

    /// Logs a score, and saves the policy that was scored if it is the best so far. `policy` is that of a copy; `None`
    /// stands for the agent's.
    fn record_score(&mut self, at: Moment, score: &Score, policy: Option<Section<'static>>) -> Result<()> {
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
        let success = evaluation.success_rate().map(|rate| (metrics::EVAL_SUCCESS_RATE, rate));
        let scores = scores.into_iter().chain(success);
        let scores = scores.map(|(name, value)| (Cow::Borrowed(name), value));
        let measures = inspection.values.iter();
        let measures = measures.map(|(name, value)| (Cow::Owned(name.clone()), *value));
        self.logger.row(&Row {
            env_steps,
            grad_steps,
            seconds,
            values: scores.chain(measures).collect(),
        });
        for (name, image) in &inspection.images {
            self.logger.image(env_steps, name, image);
        }
        self.last_evaluation = Some((env_steps, mean_return));
        if self.best_mean_return.is_none_or(|best| mean_return > best) {
            self.best_mean_return = Some(mean_return);
            if !self.eval.every.due(env_steps) {
                self.set_best_aside();
            }
            if let Some(save_to) = &self.save_to {
                let policy = policy.map_or_else(|| self.agent.policy_section(), Ok)?;
                if let Err(error) = checkpoint::write(&save_to.best, env_steps, grad_steps, &[policy]) {
                    tracing::warn!("the best policy could not be saved: {error}; training goes on");
                }
            }
        }
        Ok(())
    }

    fn aside(&self) -> Option<PathBuf> {
        Some(SaveTo::best_before_end(&self.save_to.as_ref()?.best))
    }

    /// Remembers what holds if the run is made longer.
    pub(super) fn note_end(&mut self) {
        self.before_end.get_or_insert(BeforeEnd {
            best_mean_return: self.best_mean_return,
            last_evaluation: self.last_evaluation,
            last_row: self.last_row,
        });
    }

    fn set_best_aside(&self) {
        if let (Some(save_to), Some(aside)) = (&self.save_to, self.aside())
            && !aside.exists()
        {
            // Where there was no best policy yet, there is nothing to set aside.
            let _ = fs::rename(&save_to.best, aside);
        }
    }

    /// Takes back what was made only because the run ended: it goes on now.
    pub(super) fn forget_end(&mut self) -> Result<()> {
        if let (Some(save_to), Some(aside)) = (&self.save_to, self.aside()) {
            let had_none = self.before_end.is_some_and(|before| before.best_mean_return.is_none());
            if aside.is_dir() {
                checkpoint::replace_dir(&aside, &save_to.best)?;
            } else if had_none {
                checkpoint::remove_dir(&save_to.best)?;
            }
        }
        let before = self.before_end.take();
        // Where an early end has taken the place of an evaluation that was due, its score stands.
        if let Some(before) = before.filter(|_| !self.eval.every.due(self.env_steps)) {
            self.best_mean_return = before.best_mean_return;
            self.last_evaluation = before.last_evaluation;
        }
        if let Some(before) = before {
            self.last_row = before.last_row;
        }
        Ok(())
    }
}
