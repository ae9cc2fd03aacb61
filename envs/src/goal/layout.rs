//! Where goals lie in observations: [`GoalLayout`]; and steps under other goals: [`GoalBatch`].

use std::fmt;
use std::ops::Range;

/// Where the parts of an observation with goals lie in the flattened observation.
///
/// ```
/// use sac_envs::GoalLayout;
///
/// let layout = GoalLayout::sorted(2, 4);
/// assert_eq!(layout.to_string(), "achieved_goal 0..2, desired_goal 2..4, observation 4..8");
/// assert_eq!(layout.flaw(8), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GoalLayout {
    /// The goal that the state achieves.
    pub achieved: Range<usize>,
    /// The goal that the episode asks for, as long as `achieved`.
    pub desired: Range<usize>,
    /// What is observed besides goals; may be empty.
    pub observation: Range<usize>,
}

impl GoalLayout {
    /// Goals of `goal_len` numbers and `observation_len` other numbers in Gymnasium's order, by name: `achieved_goal`,
    /// `desired_goal`, `observation`.
    pub fn sorted(goal_len: usize, observation_len: usize) -> Self {
        GoalLayout {
            achieved: 0..goal_len,
            desired: goal_len..2 * goal_len,
            observation: 2 * goal_len..2 * goal_len + observation_len,
        }
    }

    /// G, the numbers of a goal.
    pub fn goal_len(&self) -> usize {
        self.achieved.len()
    }

    /// Why this cannot be the layout of observations of `obs_len` numbers, if it cannot.
    pub fn flaw(&self, obs_len: usize) -> Option<String> {
        let parts = [&self.achieved, &self.desired, &self.observation];
        if self.achieved.is_empty() || self.achieved.len() != self.desired.len() {
            let [achieved, desired] = [&self.achieved, &self.desired].map(|part| part.len());
            return Some(format!(
                "an achieved goal has {achieved} numbers and a desired one {desired}, expected the same number above 0"
            ));
        }
        let covers = |i: usize| parts.iter().filter(|part| part.contains(&i)).count();
        let is_partition = parts.iter().all(|part| part.end <= obs_len) && (0..obs_len).all(|i| covers(i) == 1);
        (!is_partition).then(|| format!("the parts {self} are not a division of {obs_len} numbers"))
    }
}

impl fmt::Display for GoalLayout {
    /// The parts with their names, in their order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = [
            ("achieved_goal", &self.achieved),
            ("desired_goal", &self.desired),
            ("observation", &self.observation),
        ];
        parts.sort_by_key(|(_, range)| (range.start, range.end));
        let parts = parts.map(|(name, range)| format!("{name} {}..{}", range.start, range.end));
        f.write_str(&parts.join(", "))
    }
}

/// `n` steps whose outcome a task is asked for. `G` numbers per goal, `I` other observed numbers.
#[derive(Clone, Copy, Debug)]
pub struct GoalBatch<'a> {
    /// `[n, G]`: the goals achieved after the steps.
    pub achieved: &'a [f32],
    /// `[n, G]`: the goals asked for.
    pub desired: &'a [f32],
    /// `[n, I]`: the part `observation` of what was observed after the steps, for rewards that depend on more than goals.
    pub info: &'a [f32],
}

impl GoalBatch<'_> {
    /// The steps one by one: achieved goal, desired goal, info.
    pub fn rows(&self, layout: &GoalLayout) -> impl Iterator<Item = (&[f32], &[f32], &[f32])> {
        let (goal, info) = (layout.goal_len(), layout.observation.len());
        let infos = (0..).map(move |i| &self.info[i * info..(i + 1) * info]);
        let goals = self.achieved.chunks_exact(goal).zip(self.desired.chunks_exact(goal));
        goals
            .zip(infos)
            .map(|((achieved, desired), info)| (achieved, desired, info))
    }

    /// Why this is no batch of `n` steps of a task with this layout, if it is none.
    pub fn flaw(&self, layout: &GoalLayout, n: usize) -> Option<String> {
        let lens = [self.achieved.len(), self.desired.len(), self.info.len()];
        let expected = [layout.goal_len(), layout.goal_len(), layout.observation.len()].map(|len| n * len);
        (lens != expected).then(|| {
            format!("a batch of {n} steps has {lens:?} numbers (achieved, desired, info), expected {expected:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_divides_the_observation() {
        let layout = GoalLayout::sorted(3, 10);
        assert_eq!((layout.goal_len(), layout.flaw(16)), (3, None));
        for len in [15, 17] {
            assert!(layout.flaw(len).expect("flawed").contains("not a division"), "{len}");
        }
        let overlapping = GoalLayout {
            achieved: 0..2,
            desired: 1..3,
            observation: 3..4,
        };
        assert!(overlapping.flaw(4).is_some());
        assert!(GoalLayout::sorted(0, 3).flaw(3).expect("flawed").contains("above 0"));
        assert_eq!(GoalLayout::sorted(2, 0).flaw(4), None, "nothing but goals");
    }

    #[test]
    fn rows_of_a_batch_are_its_steps() {
        let layout = GoalLayout::sorted(2, 1);
        let batch = GoalBatch {
            achieved: &[1.0, 2.0, 3.0, 4.0],
            desired: &[5.0, 6.0, 7.0, 8.0],
            info: &[9.0, 10.0],
        };
        let rows: Vec<_> = batch.rows(&layout).collect();
        assert_eq!(rows[1], (&[3.0, 4.0][..], &[7.0, 8.0][..], &[10.0][..]));
        assert_eq!((rows.len(), batch.flaw(&layout, 2)), (2, None));
        assert!(batch.flaw(&layout, 3).is_some());
    }
}
