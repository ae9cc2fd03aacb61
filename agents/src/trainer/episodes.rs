//! Returns and lengths of the latest training episodes: [`RecentEpisodes`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Number of episodes that `rollout/…` averages over, as in Stable-Baselines3.
const RECENT_EPISODES: usize = 100;

/// Returns and lengths of the latest training episodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RecentEpisodes(VecDeque<(f64, u64)>);

impl Default for RecentEpisodes {
    fn default() -> Self {
        RecentEpisodes(VecDeque::with_capacity(RECENT_EPISODES))
    }
}

impl RecentEpisodes {
    pub(super) fn push(&mut self, episode_return: f64, length: u64) {
        if self.0.len() == RECENT_EPISODES {
            self.0.pop_front();
        }
        self.0.push_back((episode_return, length));
    }

    /// Mean return and mean length; `None` before the first episode has ended.
    pub(super) fn means(&self) -> Option<(f64, f64)> {
        let count = self.0.len() as f64;
        let sum = self.0.iter().fold((0.0, 0.0), |sum, (value, length)| {
            (sum.0 + value, sum.1 + *length as f64)
        });
        (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
    }
}
