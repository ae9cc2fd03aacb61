//! Statistics over seeds and tasks: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
//! Precipice" (arXiv 2108.13264), whose Python package is rliable.
//!
//! Scores are grouped by task, a number for each run (seed). All functions need at least one score in each task, and no
//! NaN among them; [`Scores::new`] sees to it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Resampled data sets behind an interval in a table. rliable's default is 50,000.
pub const RESAMPLES: usize = 10_000;

/// Resampled data sets behind each interval of a curve, as in rliable's examples.
pub const RESAMPLES_OF_CURVES: usize = 2_000;

/// The final scores of one algorithm: `tasks × runs`, where each task may have another number of runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores(Vec<Vec<f64>>);

/// A number with the interval in which 95 % of its resampled values lie.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Of the scores themselves.
    pub value: f64,
    /// Percentile 2.5 of the resampled values.
    pub low: f64,
    /// Percentile 97.5.
    pub high: f64,
}

impl Estimate {
    /// Whether two intervals have no point in common. If they have, no order is claimed.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.high < other.low || other.high < self.low
    }
}

impl Scores {
    /// Scores by task and run. `None` if there is no task, a task without a run, or a score that is not finite.
    pub fn new(tasks: Vec<Vec<f64>>) -> Option<Self> {
        let is_whole = |runs: &Vec<f64>| !runs.is_empty() && runs.iter().all(|score| score.is_finite());
        (!tasks.is_empty() && tasks.iter().all(is_whole)).then_some(Scores(tasks))
    }

    /// Number of runs, all tasks together.
    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Scores of each task.
    pub(crate) fn tasks(&self) -> &[Vec<f64>] {
        &self.0
    }

    /// Number of runs of each task.
    pub(crate) fn runs_of_tasks(&self) -> Vec<usize> {
        self.0.iter().map(Vec::len).collect()
    }

    /// Whether resamples can differ from the scores: every task has more than one run.
    pub(crate) fn has_interval(&self) -> bool {
        self.0.iter().all(|runs| runs.len() > 1)
    }

    pub(crate) fn pooled(&self) -> Vec<f64> {
        self.0.concat()
    }

    /// As many runs of each task as there are, drawn with replacement: a stratified bootstrap's resample.
    fn resampled(&self, rng: &mut ChaCha8Rng) -> Self {
        let draw = |runs: &Vec<f64>| {
            let len = runs.len();
            (0..len).map(|_| runs[rng.random_range(0..len)]).collect()
        };
        Scores(self.0.iter().map(draw).collect())
    }
}

/// The mean of the middle half of all scores: the lowest and highest quarter are left out, each rounded down to whole
/// scores, as rliable does.
pub fn interquartile_mean(scores: &Scores) -> f64 {
    let mut pooled = scores.pooled();
    pooled.sort_by(f64::total_cmp);
    let cut = quarter(pooled.len());
    mean(&pooled[cut..pooled.len() - cut])
}

/// The scores that an interquartile mean leaves out at each end.
pub(crate) fn quarter(count: usize) -> usize {
    count / 4
}

/// The median over runs, all tasks together.
pub fn median(scores: &Scores) -> f64 {
    median_of(scores.pooled())
}

/// The median over tasks of the mean over runs.
pub fn median_of_tasks(scores: &Scores) -> f64 {
    median_of(scores.0.iter().map(|runs| mean(runs)).collect())
}

fn median_of(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

/// The mean over tasks of the mean over runs.
pub fn mean_score(scores: &Scores) -> f64 {
    let tasks: Vec<f64> = scores.0.iter().map(|runs| mean(runs)).collect();
    mean(&tasks)
}

/// By how much scores fall short of 1 on average, where what is above 1 counts as 1.
pub fn optimality_gap(scores: &Scores) -> f64 {
    let capped = scores
        .0
        .iter()
        .map(|runs| runs.iter().map(|score| score.min(1.0)).collect());
    1.0 - mean_score(&Scores(capped.collect()))
}

/// The probability that a run of `x` scores higher than a run of `y` on a task drawn at random; ties count half. For one
/// task it is the statistic U of Mann and Whitney, divided by the number of pairs. Both have the same tasks, in the same
/// order.
pub fn probability_of_improvement(x: &Scores, y: &Scores) -> f64 {
    let of_task = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        let won = |a: &f64| {
            y.iter()
                .map(|b| f64::from(a > b) / 2.0 + f64::from(a >= b) / 2.0)
                .sum::<f64>()
        };
        x.iter().map(won).sum::<f64>() / (x.len() * y.len()) as f64
    };
    let tasks: Vec<f64> = x.0.iter().zip(&y.0).map(of_task).collect();
    mean(&tasks)
}

/// A statistic with its 95 % interval: the percentiles 2.5 and 97.5 over this many resamples of the runs of each task. The
/// generator has a fixed seed, so equal scores give equal intervals.
pub fn estimate(scores: &Scores, resamples: usize, statistic: impl Fn(&Scores) -> f64) -> Estimate {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let resampled = (0..resamples).map(|_| statistic(&scores.resampled(&mut rng)));
    interval(statistic(scores), resampled.collect())
}

/// A statistic of two algorithms with its 95 % interval; the runs of both are resampled independently.
pub fn estimate_of_two(x: &Scores, y: &Scores, statistic: impl Fn(&Scores, &Scores) -> f64) -> Estimate {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let resampled = (0..RESAMPLES).map(|_| {
        let x = x.resampled(&mut rng);
        statistic(&x, &y.resampled(&mut rng))
    });
    interval(statistic(x, y), resampled.collect())
}

pub(crate) fn interval(value: f64, mut resampled: Vec<f64>) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    Estimate {
        value,
        low: percentile(&resampled, 0.025),
        high: percentile(&resampled, 0.975),
    }
}

/// The number below which a share of sorted numbers lies, linear between two of them, as NumPy's `percentile`.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The final score of a run: the mean of the last tenth of its evaluations, at least one. Never the best of them, which
/// grows with their number.
pub fn final_score(evaluations: &[f64]) -> Option<f64> {
    let count = evaluations.len().div_ceil(10);
    (count > 0).then(|| mean(&evaluations[evaluations.len() - count..]))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(tasks: &[&[f64]]) -> Scores {
        Scores::new(tasks.iter().map(|runs| runs.to_vec()).collect()).expect("whole")
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn an_interquartile_mean_leaves_out_a_quarter_at_each_end() {
        assert_near(interquartile_mean(&scores(&[&[100.0, 2.0, 3.0, -50.0]])), 2.5);
        // Of three, a quarter is less than one: nothing is left out.
        assert_near(interquartile_mean(&scores(&[&[1.0, 2.0, 6.0]])), 3.0);
        // Tasks are pooled.
        assert_near(interquartile_mean(&scores(&[&[0.0, 1.0], &[2.0, 9.0]])), 1.5);
    }

    #[test]
    fn medians_means_and_gaps_are_over_tasks() {
        let one = scores(&[&[0.0, 10.0, 0.5, 0.25]]);
        assert_near(median(&one), 0.375);
        let two = scores(&[&[0.0, 1.0], &[2.0, 0.5], &[0.0, 0.2]]);
        assert_near(median_of_tasks(&two), 0.5);
        assert_near(median(&two), 0.35);
        assert_near(mean_score(&two), (0.5 + 1.25 + 0.1) / 3.0);
        // 2.0 counts as 1.
        assert_near(optimality_gap(&two), 1.0 - (0.5 + 0.75 + 0.1) / 3.0);
    }

    #[test]
    fn a_probability_of_improvement_counts_ties_half_and_tasks_alike() {
        let (x, y) = (scores(&[&[1.0, 2.0], &[5.0]]), scores(&[&[1.0, 1.5], &[4.0, 6.0]]));
        // First task: 1 against 1 is a half, 2 wins twice: 2.5 of 4. Second: 1 of 2.
        assert_near(probability_of_improvement(&x, &y), (0.625 + 0.5) / 2.0);
        assert_near(probability_of_improvement(&y, &x), 1.0 - (0.625 + 0.5) / 2.0);
    }

    #[test]
    fn a_percentile_lies_linearly_between_two_numbers() {
        assert_near(percentile(&[0.0, 10.0, 20.0], 0.25), 5.0);
        assert_near(percentile(&[7.0], 0.975), 7.0);
    }

    #[test]
    fn an_interval_of_a_mean_has_the_width_that_theory_gives() {
        // 100 scores with standard deviation 1: ± 1.96 / 10.
        let runs: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = estimate(&scores(&[&runs]), RESAMPLES, |scores| mean(&scores.pooled()));
        assert_near(found.value, 0.0);
        assert!(
            (found.low + 0.196).abs() < 0.01 && (found.high - 0.196).abs() < 0.01,
            "{found:?}"
        );
    }

    #[test]
    fn runs_are_resampled_within_their_task() {
        // Between the tasks lies far more than within them, which must not widen the interval.
        let found = estimate(&scores(&[&[0.0, 1.0], &[1000.0, 1001.0]]), RESAMPLES, |scores| {
            mean(&scores.pooled())
        });
        assert!(found.low >= 500.0 && found.high <= 501.0, "{found:?}");
    }

    #[test]
    fn a_final_score_is_the_mean_of_the_last_tenth() {
        let evaluations: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(final_score(&evaluations), Some(19.5));
        assert_eq!(final_score(&evaluations[..3]), Some(3.0));
        assert_eq!(final_score(&[]), None);
    }

    #[test]
    fn scores_without_a_run_or_with_nan_are_refused() {
        assert_eq!(Scores::new(Vec::new()), None);
        assert_eq!(Scores::new(vec![vec![1.0], Vec::new()]), None);
        assert_eq!(Scores::new(vec![vec![f64::NAN]]), None);
    }
}
