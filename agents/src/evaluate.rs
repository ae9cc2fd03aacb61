//! Scoring a policy on episodes of its own.

use sac_envs::VecEnv;
use serde::Serialize;

use crate::{
    agent::{ActMode, Agent},
    error::Result,
    noise::{Stream, derived_seed},
};

/// What the episodes gave, in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Undiscounted sum of raw rewards per episode.
    pub returns: Vec<f64>,
    /// Env steps per episode.
    pub lengths: Vec<u64>,
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

    /// Mean length, env steps.
    pub fn mean_length(&self) -> f64 {
        self.lengths.iter().sum::<u64>() as f64 / self.lengths.len() as f64
    }
}

/// Runs `episodes` (at least 1) whole episodes, episode i from a seed derived from `(seed, i)`: the same episodes at
/// every call. Several run side by side, as many as `envs` holds.
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
    let mut evaluation = Evaluation {
        returns: Vec::with_capacity(episodes),
        lengths: Vec::with_capacity(episodes),
    };
    let mut noise = Stream::derive(seed, "eval.act", 0);
    let mut actions = vec![0.0; envs.len() * envs.action_space().len()];
    while evaluation.returns.len() < episodes {
        let first = evaluation.returns.len();
        // Environments beyond the last episode run along unscored, so that every pass has one shape.
        let seeds: Vec<u64> = (0..envs.len())
            .map(|i| derived_seed(seed, "eval", (first + i) as u64))
            .collect();
        envs.reset(&seeds)?;
        let mut finished = vec![None; envs.len().min(episodes - first)];
        while finished.iter().any(Option::is_none) {
            agent.act(&envs.current().obs, mode, &mut noise, &mut actions);
            let step = envs.step(0..envs.len(), &actions)?;
            for episode in &step.finished {
                if let Some(slot) = finished.get_mut(episode.env) {
                    slot.get_or_insert((episode.episode_return, episode.length));
                }
            }
        }
        for (episode_return, length) in finished.into_iter().flatten() {
            evaluation.returns.push(episode_return);
            evaluation.lengths.push(length);
        }
    }
    Ok(evaluation)
}
