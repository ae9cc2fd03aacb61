//! A stratified bootstrap whose draws are made once and serve many statistics of the same runs: [`Resamples`].

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::statistics::{Estimate, interval, quarter};

/// How often each run is in each resampled data set. The draws are those of [`estimate`](crate::statistics::estimate), so
/// the intervals are equal to the bit; but a curve of a thousand points draws once.
pub struct Resamples {
    /// Runs, all tasks together.
    runs: usize,
    /// `resamples × runs`
    counts: Vec<u32>,
}

impl Resamples {
    /// Draws for tasks with these numbers of runs, each at least 1.
    pub fn new(runs_of_tasks: &[usize], resamples: usize) -> Self {
        let runs = runs_of_tasks.iter().sum();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut counts = vec![0; resamples * runs];
        for drawn in counts.chunks_exact_mut(runs) {
            let mut first = 0;
            for len in runs_of_tasks {
                for _ in 0..*len {
                    drawn[first + rng.random_range(0..*len)] += 1;
                }
                first += len;
            }
        }
        Resamples { runs, counts }
    }

    /// The interquartile mean of a score for each run, with its interval.
    pub fn interquartile_mean(&self, scores: &[f64]) -> Estimate {
        let mut order: Vec<usize> = (0..self.runs).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let ascending: Vec<f64> = order.iter().map(|run| scores[*run]).collect();
        let cut = quarter(self.runs);
        let kept = self.runs - 2 * cut;
        let mean_of_kept = |count_of: &dyn Fn(usize) -> usize| {
            let (mut left_out, mut taken, mut sum) = (cut, 0, 0.0);
            for (rank, score) in ascending.iter().enumerate() {
                let count = count_of(rank);
                let skipped = count.min(left_out);
                left_out -= skipped;
                // One by one, as a sum over the sorted scores adds them.
                for _ in 0..(count - skipped).min(kept - taken) {
                    sum += score;
                    taken += 1;
                }
                if taken == kept {
                    break;
                }
            }
            sum / kept as f64
        };
        let resampled = self.counts.chunks_exact(self.runs);
        let resampled = resampled.map(|drawn| mean_of_kept(&|rank| drawn[order[rank]] as usize));
        interval(mean_of_kept(&|_| 1), resampled.collect())
    }

    /// The share of runs whose score is above a number, with its interval.
    pub fn share_above(&self, scores: &[f64], number: f64) -> Estimate {
        let above: Vec<usize> = (0..self.runs).filter(|run| scores[*run] > number).collect();
        let share = |count: u32| f64::from(count) / self.runs as f64;
        let resampled = self.counts.chunks_exact(self.runs);
        let resampled = resampled.map(|drawn| share(above.iter().map(|run| drawn[*run]).sum()));
        interval(share(above.len() as u32), resampled.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{Scores, estimate, interquartile_mean};

    #[test]
    fn intervals_are_those_of_a_bootstrap_that_draws_anew() {
        let tasks = vec![vec![3.0, -1.5, 0.25, 3.0, 9.0], vec![0.1, 0.2, 0.3]];
        let pooled = tasks.concat();
        let scores = Scores::new(tasks).expect("whole");
        let resamples = Resamples::new(&[5, 3], 500);
        assert_eq!(
            resamples.interquartile_mean(&pooled),
            estimate(&scores, 500, interquartile_mean)
        );
        let share = |scores: &Scores| {
            let all = scores.pooled();
            all.iter().filter(|score| **score > 0.25).count() as f64 / all.len() as f64
        };
        assert_eq!(resamples.share_above(&pooled, 0.25), estimate(&scores, 500, share));
    }
}
