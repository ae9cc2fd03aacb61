//! The latest training episodes: [`RecentEpisodes`].

use std::collections::VecDeque;

use sac_envs::EpisodeSummary;
use serde::{Deserialize, Serialize};

/// Number of episodes that `rollout/…` averages over, as in Stable-Baselines3.
const RECENT_EPISODES: usize = 100;

/// Returns, lengths and success of the latest training episodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RecentEpisodes(VecDeque<(f64, u64, Option<bool>)>);

impl Default for RecentEpisodes {
    fn default() -> Self {
        RecentEpisodes(VecDeque::with_capacity(RECENT_EPISODES))
    }
}

impl RecentEpisodes {
    pub(super) fn push(&mut self, episode: &EpisodeSummary) {
        if self.0.len() == RECENT_EPISODES {
            self.0.pop_front();
        }
        self.0
            .push_back((episode.episode_return, episode.length, episode.success));
    }

    /// Mean return and mean length; `None` before the first episode has ended.
    pub(super) fn means(&self) -> Option<(f64, f64)> {
        let count = self.0.len() as f64;
        let sum = self.0.iter().fold((0.0, 0.0), |sum, (value, length, _)| {
            (sum.0 + value, sum.1 + *length as f64)
        });
        (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
    }

    /// Fraction of the episodes that ended with the task solved; `None` if none of them says.
    pub(super) fn success_rate(&self) -> Option<f64> {
        let known: Vec<bool> = self.0.iter().filter_map(|(_, _, success)| *success).collect();
        let solved = known.iter().filter(|success| **success).count();
        (!known.is_empty()).then(|| solved as f64 / known.len() as f64)
    }
}
