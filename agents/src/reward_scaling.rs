//! Rewards divided by a running scale of returns: [`RewardScalingSpec`], [`RewardScaling`].
//!
//! Replays hold raw rewards; a batch is scaled with the current statistics when it is used.
//!
//! ```text
//! G_t = γ G_{t−1} + r_t, from 0 in every episode;      r ← r / max(√(Var G + ε), max |G| / largest_return)
//! ```
//!
//! Sources: XQC (danielpalenicek/xqc 9a6832b, `normalization.py`) for the variance; FlashSAC (Holiday-Robot/FlashSAC
//! 87edc90, `reward_normalization.py`) for the bound. Both codes let the first return of an episode include the last
//! reward of the one before; here every episode begins with 0.

use serde::{Deserialize, Serialize};

use crate::spec_problems::SpecProblems;

/// Settings of the scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardScalingSpec {
    /// A bound, above 0, on the magnitude of the discounted returns of training after scaling, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_return: Option<f64>,
}

impl RewardScalingSpec {
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        if let Some(largest) = self.largest_return {
            p.require_positive("agent.reward_scaling.largest_return", largest);
        }
    }
}

/// Added to the variance of returns. Code of FlashSAC: 1e-8.
const VARIANCE_EPS: f64 = 1e-8;

/// The running scale of returns.
pub struct RewardScaling {
    spec: RewardScalingSpec,
    gamma: f64,
    statistics: ReturnStatistics,
}

/// Statistics of discounted returns up to a step, which a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnStatistics {
    /// G of every environment's current episode.
    current: Vec<f64>,
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    scatter: f64,
    /// Largest magnitude so far.
    largest: f64,
}

impl RewardScaling {
    /// A scale of returns that are discounted by `gamma`.
    pub fn new(spec: RewardScalingSpec, gamma: f64) -> Self {
        RewardScaling {
            spec,
            gamma,
            statistics: ReturnStatistics::default(),
        }
    }

    /// Updates the statistics with the reward of a step of environment `env`, which may have ended its episode.
    pub fn observe(&mut self, env: usize, reward: f64, ended: bool) {
        let statistics = &mut self.statistics;
        if statistics.current.len() <= env {
            statistics.current.resize(env + 1, 0.0);
        }
        let total = self.gamma * statistics.current[env] + reward;
        statistics.current[env] = if ended { 0.0 } else { total };
        statistics.count += 1;
        let distance = total - statistics.mean;
        statistics.mean += distance / statistics.count as f64;
        statistics.scatter += distance * (total - statistics.mean);
        statistics.largest = statistics.largest.max(total.abs());
    }

    /// The factor of rewards; 1 before there are two returns.
    pub fn factor(&self) -> f64 {
        let ReturnStatistics {
            count,
            scatter,
            largest,
            ..
        } = self.statistics;
        if count < 2 {
            return 1.0;
        }
        let std = (scatter / count as f64 + VARIANCE_EPS).sqrt();
        let bound = self.spec.largest_return.map_or(0.0, |most| largest / most);
        1.0 / std.max(bound)
    }

    /// The current statistics.
    pub fn statistics(&self) -> &ReturnStatistics {
        &self.statistics
    }

    /// Restores statistics from [`RewardScaling::statistics`].
    pub fn restore(&mut self, statistics: ReturnStatistics) {
        self.statistics = statistics;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_begin_with_zero_in_every_episode_and_environments_have_their_own() {
        let mut scaling = RewardScaling::new(RewardScalingSpec::default(), 0.5);
        for (env, reward, ended) in [(0, 1.0, false), (1, -8.0, false), (0, 2.0, true), (0, 3.0, false)] {
            scaling.observe(env, reward, ended);
        }
        // The returns are 1, −8, 2.5 and 3.
        let returns = [1.0, -8.0, 2.5, 3.0f64];
        let mean = returns.iter().sum::<f64>() / 4.0;
        let variance = returns.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
        assert!((scaling.factor() - 1.0 / variance.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn no_return_exceeds_the_bound_after_scaling() {
        let spec = RewardScalingSpec {
            largest_return: Some(5.0),
        };
        let mut scaling = RewardScaling::new(spec, 0.9);
        for step in 0..1000 {
            scaling.observe(0, if step == 500 { 100.0 } else { 0.01 }, false);
        }
        let largest = scaling.statistics().largest;
        assert!(
            (scaling.factor() * largest - 5.0).abs() < 1e-9,
            "the variance alone would allow more"
        );
    }

    #[test]
    fn a_scale_without_two_returns_is_one_and_constant_rewards_are_finite() {
        let mut scaling = RewardScaling::new(RewardScalingSpec::default(), 0.0);
        scaling.observe(0, 7.0, false);
        assert_eq!(scaling.factor(), 1.0);
        scaling.observe(0, 7.0, false);
        assert!(scaling.factor().is_finite());
    }
}
