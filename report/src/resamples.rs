//! A stratified bootstrap whose draws are made once and serve many statistics of the same runs: [`Resamples`].

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::statistics::{Estimate, interval, quarter};

/// How often each run is in each resampled data set. The draws are those of [`estimate`](crate::statistics::estimate); but a
/// curve of a thousand points draws once.
///
/// Statistics go through the runs and, for each, through all resamples at once: loops that a compiler turns into vector
/// instructions, which is why counts are floating-point numbers.
pub struct Resamples {
    resamples: usize,
    /// Of each run, all tasks together: how often it is in each resample.
    counts: Vec<Vec<f64>>,
}

impl Resamples {
    /// Draws for tasks with these numbers of runs, each at least 1.
    pub fn new(runs_of_tasks: &[usize], resamples: usize) -> Self {
        let runs = runs_of_tasks.iter().sum();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut counts = vec![vec![0.0; resamples]; runs];
        (0..resamples).for_each(|resample| {
            let mut first = 0;
            for len in runs_of_tasks {
                for _ in 0..*len {
                    counts[first + rng.random_range(0..*len)][resample] += 1.0;
                }
                first += len;
            }
        });
        Resamples { resamples, counts }
    }

    /// The interquartile mean of a score for each run, with its interval.
    pub fn interquartile_mean(&self, scores: &[f64]) -> Estimate {
        let runs = self.counts.len();
        let mut order: Vec<usize> = (0..runs).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let cut = quarter(runs);
        let (from, to) = (cut as f64, (runs - cut) as f64);
        let (mut below, mut sums) = (vec![0.0; self.resamples], vec![0.0; self.resamples]);
        for run in &order {
            let score = scores[*run];
            for ((below, sum), count) in below.iter_mut().zip(&mut sums).zip(&self.counts[*run]) {
                let above = *below + count;
                // Of the places that the run takes in sorted order, those in the middle half.
                let kept = (above.min(to) - below.max(from)).max(0.0);
                *sum += kept * score;
                *below = above;
            }
        }
        let middle = order[cut..runs - cut].iter().map(|run| scores[*run]);
        let means = sums.iter().map(|sum| sum / (to - from));
        interval(middle.sum::<f64>() / (to - from), means.collect())
    }

    /// The share of runs whose score is above a number, with its interval.
    pub fn share_above(&self, scores: &[f64], number: f64) -> Estimate {
        let runs = self.counts.len() as f64;
        let above: Vec<usize> = (0..scores.len()).filter(|run| scores[*run] > number).collect();
        let resampled = self.sum_of(&above).into_iter().map(|count| count / runs);
        interval(above.len() as f64 / runs, resampled.collect())
    }

    /// The [probability of improvement](crate::statistics::probability_of_improvement) of `x` over `y`, which have the same
    /// tasks, with its interval.
    pub fn probability_of_improvement(x: &[Vec<f64>], y: &[Vec<f64>], resamples: usize) -> Estimate {
        let lengths: Vec<usize> = x.iter().chain(y).map(Vec::len).collect();
        let drawn = Resamples::new(&lengths, resamples);
        let once = Resamples {
            resamples: 1,
            counts: vec![vec![1.0]; drawn.counts.len()],
        };
        let value = once.shares_won(x, y)[0];
        interval(value, drawn.shares_won(x, y))
    }

    /// The share of pairs in which the run of `x` is higher, as a mean over tasks, in each resample. Runs of `x` come before
    /// those of `y`.
    fn shares_won(&self, x: &[Vec<f64>], y: &[Vec<f64>]) -> Vec<f64> {
        let mut sums = vec![0.0; self.resamples];
        let (mut first_x, mut first_y) = (0, x.iter().map(Vec::len).sum());
        for (x, y) in x.iter().zip(y) {
            let pairs = (x.len() * y.len()) as f64;
            let (mut below, mut won) = (vec![0.0; self.resamples], vec![0.0; self.resamples]);
            for Tied { of_x, of_y } in tied(x, y, first_x, first_y) {
                let (of_x, of_y) = (self.sum_of(&of_x), self.sum_of(&of_y));
                for (resample, below) in below.iter_mut().enumerate() {
                    won[resample] += of_x[resample] * (*below + of_y[resample] / 2.0);
                    *below += of_y[resample];
                }
            }
            sums.iter_mut().zip(won).for_each(|(sum, won)| *sum += won / pairs);
            first_x += x.len();
            first_y += y.len();
        }
        sums.iter().map(|sum| sum / x.len() as f64).collect()
    }

    /// How often any of these runs is in each resample.
    fn sum_of(&self, runs: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.resamples];
        for run in runs {
            sums.iter_mut()
                .zip(&self.counts[*run])
                .for_each(|(sum, count)| *sum += count);
        }
        sums
    }
}

/// Runs with equal scores, by their place among all.
#[derive(Default)]
struct Tied {
    of_x: Vec<usize>,
    of_y: Vec<usize>,
}

/// The runs of two algorithms on one task in the order of their scores.
fn tied(x: &[f64], y: &[f64], first_x: usize, first_y: usize) -> Vec<Tied> {
    let of_x = x.iter().enumerate().map(|(run, score)| (*score, true, first_x + run));
    let of_y = y.iter().enumerate().map(|(run, score)| (*score, false, first_y + run));
    let mut all: Vec<(f64, bool, usize)> = of_x.chain(of_y).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // 0.0 and −0.0 are equal, and beside each other.
    let groups = all.chunk_by(|a, b| a.0 == b.0).map(|group| {
        let mut tied = Tied::default();
        for (_, is_x, run) in group {
            let list = if *is_x { &mut tied.of_x } else { &mut tied.of_y };
            list.push(*run);
        }
        tied
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        RESAMPLES, Scores, estimate, estimate_of_two, interquartile_mean, probability_of_improvement,
    };

    /// Equal but for the order in which numbers are added.
    fn assert_near(found: Estimate, expected: Estimate) {
        let pairs = [
            (found.value, expected.value),
            (found.low, expected.low),
            (found.high, expected.high),
        ];
        let is_near = pairs.iter().all(|(found, expected)| (found - expected).abs() < 1e-12);
        assert!(is_near, "{found:?} is not {expected:?}");
    }

    #[test]
    fn intervals_are_those_of_a_bootstrap_that_draws_anew() {
        let tasks = vec![vec![3.0, -1.5, 0.25, 3.0, 9.0], vec![0.1, 0.2, 0.3]];
        let pooled = tasks.concat();
        let scores = Scores::new(tasks).expect("whole");
        let resamples = Resamples::new(&[5, 3], 500);
        assert_near(
            resamples.interquartile_mean(&pooled),
            estimate(&scores, 500, interquartile_mean),
        );
        let share = |scores: &Scores| {
            let all = scores.pooled();
            all.iter().filter(|score| **score > 0.25).count() as f64 / all.len() as f64
        };
        assert_near(resamples.share_above(&pooled, 0.25), estimate(&scores, 500, share));
    }

    #[test]
    fn a_probability_of_improvement_is_that_of_comparing_every_pair() {
        let x = vec![vec![3.0, -1.5, 0.0, 3.0, 9.0], vec![0.1, 0.2, 0.3]];
        let y = vec![vec![3.0, 3.0, -0.0, 1.0], vec![0.3, 0.0]];
        let [a, b] = [&x, &y].map(|tasks| Scores::new(tasks.clone()).expect("whole"));
        assert_near(
            Resamples::probability_of_improvement(&x, &y, RESAMPLES),
            estimate_of_two(&a, &b, probability_of_improvement),
        );
    }
}
