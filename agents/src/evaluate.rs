//! Evaluation of a policy on separate episodes: [`evaluate`].

use std::sync::atomic::{AtomicBool, Ordering};

use sac_envs::VecEnv;
use serde::Serialize;

use crate::{
    agent::{ActMode, Agent},
    error::Result,
    noise::{Stream, derived_seed},
};

/// Returns, lengths and success of the episodes of an evaluation, in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Undiscounted sum of raw rewards per episode.
    pub returns: Vec<f64>,
    /// Env steps per episode.
    pub lengths: Vec<u64>,
    /// Whether each episode ended with the task solved; `None` where the task does not say.
    pub successes: Vec<Option<bool>>,
}

impl Evaluation {
    /// Mean return.
    pub fn mean_return(&self) -> f64 {
        self.returns.iter().sum::<f64>() / self.returns.len() as f64
    }

    /// Standard deviation of the return over the episodes, without Bessel's correction.
    pub fn std_return(&self) -> f64 {
        let mean = self.mean_return();
        let squares: f64 = self.returns.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / self.returns.len() as f64).sqrt()
    }

    /// Lowest return.
    pub fn min_return(&self) -> f64 {
        self.returns.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Highest return.
    pub fn max_return(&self) -> f64 {
        self.returns.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Fraction of the episodes that ended with the task solved; `None` if the task does not say.
    pub fn success_rate(&self) -> Option<f64> {
        let known: Vec<bool> = self.successes.iter().copied().flatten().collect();
        let solved = known.iter().filter(|success| **success).count();
        (!known.is_empty()).then(|| solved as f64 / known.len() as f64)
    }

    /// Mean length, env steps.
    pub fn mean_length(&self) -> f64 {
        self.lengths.iter().sum::<u64>() as f64 / self.lengths.len() as f64
    }
}

/// Maximum number of observations in a sample. The ranks that are measured with a sample cannot exceed it.
const MAX_OBSERVATIONS: usize = 256;
/// Maximum number of values in a sample: 16 MiB, or 66 observations of 84 × 84 pixels in 9 channels.
const MAX_VALUES: usize = 1 << 22;

/// A sample of the observations visited in the scored episodes of an evaluation, evenly spread over its steps.
///
/// It holds the observations of all environments at every k-th step. k is the smallest power of two for which they fit.
/// The same episodes give the same sample.
pub struct ObservationSample {
    /// O, numbers per observation.
    width: usize,
    max_rows: usize,
    /// Steps seen so far; all environments take a step together.
    step: u64,
    /// k.
    every_steps: u64,
    /// The step of each observation.
    steps: Vec<u64>,
    rows: Vec<f32>,
}

impl ObservationSample {
    /// An empty sample of observations with `width` numbers each.
    pub fn new(width: usize) -> Self {
        ObservationSample {
            width,
            max_rows: (MAX_VALUES / width.max(1)).clamp(1, MAX_OBSERVATIONS),
            step: 0,
            every_steps: 1,
            steps: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Removes all observations and keeps the memory, for the next evaluation.
    pub fn clear(&mut self) {
        (self.step, self.every_steps) = (0, 1);
        self.steps.clear();
        self.rows.clear();
    }

    /// The observations `[rows, O]`, flattened, in the order in which they were visited.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Takes the next step's observations `obs` `[N, O]` into account, for the environments in `scored` only.
    fn observe(&mut self, obs: &[f32], scored: impl Iterator<Item = usize>) {
        let step = self.step;
        self.step += 1;
        if !step.is_multiple_of(self.every_steps) {
            return;
        }
        for env in scored.take(self.max_rows) {
            self.rows
                .extend_from_slice(&obs[env * self.width..(env + 1) * self.width]);
            self.steps.push(step);
        }
        // This ends: the observations of step 0, which always stay, are at most `max_rows`.
        while self.steps.len() > self.max_rows {
            self.every_steps *= 2;
            self.thin_out();
        }
    }

    /// Removes the observations of steps that are not multiples of k.
    fn thin_out(&mut self) {
        let mut kept = 0;
        for index in 0..self.steps.len() {
            if self.steps[index].is_multiple_of(self.every_steps) {
                self.steps[kept] = self.steps[index];
                let from = index * self.width;
                self.rows.copy_within(from..from + self.width, kept * self.width);
                kept += 1;
            }
        }
        self.steps.truncate(kept);
        self.rows.truncate(kept * self.width);
    }
}

/// Runs `episodes` (at least 1) whole episodes, as many at a time as there are environments in `envs`.
///
/// Episode i starts from a seed derived from `(seed, i)`, so that every call runs the same episodes.
///
/// # Errors
/// When an environment fails.
pub fn evaluate(
    agent: &mut dyn Agent,
    envs: &mut dyn VecEnv,
    episodes: usize,
    seed: u64,
    mode: ActMode,
) -> Result<Evaluation> {
    let evaluation = evaluate_sampling(agent, envs, episodes, seed, mode, None, &AtomicBool::new(false))?;
    Ok(evaluation.expect("nobody stops it"))
}

/// [`evaluate`], which also fills a sample of the observations. `None` if it was cut short because `stop` is set.
///
/// # Errors
/// When an environment fails.
pub fn evaluate_sampling(
    agent: &mut dyn Agent,
    envs: &mut dyn VecEnv,
    episodes: usize,
    seed: u64,
    mode: ActMode,
    mut sample: Option<&mut ObservationSample>,
    stop: &AtomicBool,
) -> Result<Option<Evaluation>> {
    let mut evaluation = Evaluation {
        returns: Vec::with_capacity(episodes),
        lengths: Vec::with_capacity(episodes),
        successes: Vec::with_capacity(episodes),
    };
    let mut stream = Stream::derive(seed, "eval.act", 0);
    let mut actions = vec![0.0; envs.len() * envs.action_space().len()];
    while evaluation.returns.len() < episodes {
        let first = evaluation.returns.len();
        // Environments beyond the last episode also run, unscored, so that all forward passes have the same shape.
        let seeds: Vec<u64> = (0..envs.len())
            .map(|i| derived_seed(seed, "eval", (first + i) as u64))
            .collect();
        envs.reset(&seeds)?;
        let mut finished = vec![None; envs.len().min(episodes - first)];
        while finished.iter().any(Option::is_none) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let obs = &envs.current().obs;
            if let Some(sample) = sample.as_deref_mut() {
                let scored = finished.iter().enumerate();
                sample.observe(obs, scored.filter(|(_, end)| end.is_none()).map(|(env, _)| env));
            }
            agent.act(obs, mode, &mut stream, &mut actions);
            let step = envs.step(0..envs.len(), &actions)?;
            for episode in &step.finished {
                if let Some(slot) = finished.get_mut(episode.env) {
                    slot.get_or_insert((episode.episode_return, episode.length, episode.success));
                }
            }
        }
        for (episode_return, length, success) in finished.into_iter().flatten() {
            evaluation.returns.push(episode_return);
            evaluation.lengths.push(length);
            evaluation.successes.push(success);
        }
    }
    Ok(Some(evaluation))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample after `steps` steps with observations `1000 · env + step`.
    fn after(steps: u64, envs: usize, max_rows: usize) -> ObservationSample {
        let mut sample = ObservationSample::new(1);
        sample.max_rows = max_rows;
        for step in 0..steps {
            let obs: Vec<f32> = (0..envs).map(|env| 1000.0 * env as f32 + step as f32).collect();
            sample.observe(&obs, 0..envs);
        }
        sample
    }

    #[test]
    fn a_sample_holds_every_kth_step_of_all_environments() {
        assert_eq!(after(3, 2, 6).rows(), [0.0, 1000.0, 1.0, 1001.0, 2.0, 1002.0]);
        assert_eq!(after(5, 2, 6).rows(), [0.0, 1000.0, 2.0, 1002.0, 4.0, 1004.0]);
        assert_eq!(after(200, 1, 4).rows(), [0.0, 64.0, 128.0, 192.0]);
    }

    #[test]
    fn a_sample_never_exceeds_its_limit() {
        for (steps, envs, max_rows) in [(1, 5, 3), (100, 5, 3), (1000, 3, 256), (7, 1, 1)] {
            let sample = after(steps, envs, max_rows);
            assert!(
                (1..=max_rows).contains(&sample.rows().len()),
                "{steps} {envs} {max_rows}"
            );
        }
        assert_eq!(ObservationSample::new(9 * 84 * 84).max_rows, 66);
        assert_eq!(ObservationSample::new(3).max_rows, 256);
    }

    #[test]
    fn a_sample_omits_finished_episodes() {
        let mut sample = ObservationSample::new(2);
        sample.observe(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0, 2].into_iter());
        assert_eq!(sample.rows(), [0.0, 1.0, 4.0, 5.0]);
    }
}
