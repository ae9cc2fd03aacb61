//! Hindsight replay: rows as they would have been with another goal.
//!
//! A row of a task with goals is also experience for a goal that the episode reached by chance. When a batch is drawn,
//! k of k + 1 rows on average get such a goal in place of their own, in the observation and in its successor, and the
//! reward that the task itself gives for it. Rows in memory keep their own goals.
//!
//! Source: Andrychowicz et al. 2017 (arXiv 1707.01495), section 3.3 and algorithm 1. There, k more rows are stored with
//! every row; here goals are drawn anew for every batch, as in the authors' code (OpenAI Baselines, `her_sampler.py`).

use sac_envs::{Env, GoalBatch, GoalLayout, Transition};
use serde::{Deserialize, Serialize};

use super::{
    episodes::{Episodes, Neighbours},
    storage::{Gathered, Storage},
};
use crate::{error::Result, noise::Stream, spec_problems::SpecProblems};

/// Settings of hindsight replay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HindsightSpec {
    /// Which steps of its episode a row takes a goal from.
    pub strategy: HindsightStrategy,
    /// Rows with a goal of hindsight for each row with its own, on average.
    pub k: u64,
}

/// Which steps of its episode a row takes a goal from. The goal is the one that was achieved after that step. Of a
/// running episode, the steps so far count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HindsightStrategy {
    /// The row's own step or a later one, uniformly.
    #[default]
    Future,
    /// The last one.
    Final,
    /// Any one, uniformly.
    Episode,
}

impl Default for HindsightSpec {
    fn default() -> Self {
        HindsightSpec {
            strategy: HindsightStrategy::default(),
            k: 4,
        }
    }
}

impl HindsightSpec {
    pub(super) fn check(&self, problems: &mut SpecProblems) {
        problems.require(
            (1..=1000).contains(&self.k),
            "replay.hindsight.k",
            self.k,
            "between 1 and 1000",
        );
    }

    /// The row whose achieved goal replaces that of `row`; `None` if the row keeps its own.
    fn draw(&self, row: usize, episodes: &Episodes, stream: &mut Stream) -> Option<usize> {
        if stream.index(self.k as usize + 1) == 0 {
            return None;
        }
        let Neighbours { earlier, later } = episodes.neighbours(row);
        Some(match self.strategy {
            HindsightStrategy::Future => episodes.after(row, stream.index(later + 1)),
            HindsightStrategy::Final => episodes.after(row, later),
            HindsightStrategy::Episode => match stream.index(earlier + later + 1) {
                steps if steps < earlier => episodes.before(row, earlier - steps),
                steps => episodes.after(row, steps - earlier),
            },
        })
    }
}

/// Gives rows of batches other goals.
pub(super) struct Hindsight {
    spec: HindsightSpec,
    /// The task that is asked for rewards; it is never stepped.
    task: Box<dyn Env>,
    layout: GoalLayout,
    pub(super) episodes: Episodes,
    gamma: f64,
    /// Which rows of the batch got another goal, and what the task is asked about them.
    changed: Vec<usize>,
    achieved: Vec<f32>,
    desired: Vec<f32>,
    info: Vec<f32>,
    outcomes: Vec<Transition>,
}

impl Hindsight {
    pub(super) fn new(
        spec: HindsightSpec,
        task: Box<dyn Env>,
        layout: GoalLayout,
        episodes: Episodes,
        gamma: f64,
        batch_size: usize,
    ) -> Self {
        Hindsight {
            changed: Vec::with_capacity(batch_size),
            achieved: Vec::with_capacity(batch_size * layout.goal_len()),
            desired: Vec::with_capacity(batch_size * layout.goal_len()),
            info: Vec::with_capacity(batch_size * layout.observation.len()),
            outcomes: Vec::with_capacity(batch_size),
            spec,
            task,
            layout,
            episodes,
            gamma,
        }
    }

    /// Draws goals for a batch of the rows `indices`, and changes the rows that get one. Rows are of one step.
    ///
    /// # Errors
    /// When the task fails to say what steps earn.
    pub(super) fn relabel(
        &mut self,
        storage: &Storage,
        indices: &[usize],
        batch: Gathered,
        stream: &mut Stream,
    ) -> Result<()> {
        let width = batch.obs.len() / indices.len();
        let GoalLayout {
            achieved,
            desired,
            observation,
        } = &self.layout;
        self.changed.clear();
        self.achieved.clear();
        self.desired.clear();
        self.info.clear();
        self.outcomes.clear();
        for (i, row) in indices.iter().enumerate() {
            let Some(from) = self.spec.draw(*row, &self.episodes, stream) else {
                continue;
            };
            let goal = &storage.next_obs(from)[achieved.clone()];
            let next_obs = &mut batch.next_obs[i * width..(i + 1) * width];
            batch.obs[i * width..(i + 1) * width][desired.clone()].copy_from_slice(goal);
            next_obs[desired.clone()].copy_from_slice(goal);
            self.changed.push(i);
            self.achieved.extend_from_slice(&next_obs[achieved.clone()]);
            self.desired.extend_from_slice(goal);
            self.info.extend_from_slice(&next_obs[observation.clone()]);
            self.outcomes.push(Transition {
                reward: f64::from(batch.reward[i]),
                terminated: batch.discount[i] == 0.0,
            });
        }
        if self.changed.is_empty() {
            return Ok(());
        }
        let asked = GoalBatch {
            achieved: &self.achieved,
            desired: &self.desired,
            info: &self.info,
        };
        self.task.goal_outcomes(&asked, &mut self.outcomes)?;
        for (i, Transition { reward, terminated }) in self.changed.iter().zip(&self.outcomes) {
            batch.reward[*i] = *reward as f32;
            batch.discount[*i] = if *terminated { 0.0 } else { self.gamma as f32 };
        }
        Ok(())
    }
}
