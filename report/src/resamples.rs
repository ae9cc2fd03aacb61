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
        let resampled = self.counts.chunks_exact(self.runs);
        let resampled = resampled.map(|drawn| mean_without(cut, &ascending, |rank| drawn[order[rank]] as usize));
        interval(mean_without(cut, &ascending, |_| 1), resampled.collect())
    }

    /// The [probability of improvement](crate::statistics::probability_of_improvement) of `x` over `y`, which have the same
    /// tasks, with its interval.
    pub fn probability_of_improvement(x: &[Vec<f64>], y: &[Vec<f64>], resamples: usize) -> Estimate {
        let lengths: Vec<usize> = x.iter().chain(y).map(Vec::len).collect();
        let mut firsts = lengths.iter().scan(0, |next, length| {
            let first = *next;
            *next += length;
            Some(first)
        });
        let first_x: Vec<usize> = firsts.by_ref().take(x.len()).collect();
        let tasks = x.iter().zip(y).zip(first_x.into_iter().zip(firsts));
        let tasks: Vec<Merged> = tasks
            .map(|((x, y), (first_x, first_y))| Merged::of(x, y, first_x, first_y))
            .collect();
        let over_tasks =
            |drawn: &[u32]| tasks.iter().map(|task| task.share_won(drawn)).sum::<f64>() / tasks.len() as f64;
        let all = Resamples::new(&lengths, resamples);
        let resampled = all.counts.chunks_exact(all.runs).map(over_tasks);
        interval(over_tasks(&vec![1; all.runs]), resampled.collect())
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

/// The mean of sorted scores, each as often as `count_of` says, without the `cut` lowest and highest.
fn mean_without(cut: usize, ascending: &[f64], count_of: impl Fn(usize) -> usize) -> f64 {
    let kept = ascending.len() - 2 * cut;
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
}

/// The scores of two algorithms on one task, in the order of their size.
struct Merged {
    /// Groups of equal scores, ascending; of each score whether it is one of `x`, and the place of its run among all.
    groups: Vec<Vec<(bool, usize)>>,
    pairs: f64,
}

impl Merged {
    fn of(x: &[f64], y: &[f64], first_x: usize, first_y: usize) -> Merged {
        let of_x = x.iter().enumerate().map(|(run, score)| (*score, true, first_x + run));
        let of_y = y.iter().enumerate().map(|(run, score)| (*score, false, first_y + run));
        let mut all: Vec<(f64, bool, usize)> = of_x.chain(of_y).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        // 0.0 and −0.0 are equal, and beside each other.
        let groups = all.chunk_by(|a, b| a.0 == b.0);
        let groups = groups.map(|group| group.iter().map(|(_, is_x, run)| (*is_x, *run)).collect());
        Merged {
            groups: groups.collect(),
            pairs: (x.len() * y.len()) as f64,
        }
    }

    /// The share of pairs in which the run of `x` is higher; ties count half.
    fn share_won(&self, drawn: &[u32]) -> f64 {
        let (mut below, mut doubled) = (0, 0);
        for group in &self.groups {
            let count = |of_x: bool| -> u64 {
                let members = group.iter().filter(|(is_x, _)| *is_x == of_x);
                members.map(|(_, run)| u64::from(drawn[*run])).sum()
            };
            let (x, y) = (count(true), count(false));
            doubled += x * (2 * below + y);
            below += y;
        }
        doubled as f64 / 2.0 / self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        RESAMPLES, Scores, estimate, estimate_of_two, interquartile_mean, probability_of_improvement,
    };

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

    #[test]
    fn a_probability_of_improvement_is_that_of_comparing_every_pair() {
        let x = vec![vec![3.0, -1.5, 0.0, 3.0, 9.0], vec![0.1, 0.2, 0.3]];
        let y = vec![vec![3.0, 3.0, -0.0, 1.0], vec![0.3, 0.0]];
        let [a, b] = [&x, &y].map(|tasks| Scores::new(tasks.clone()).expect("whole"));
        assert_eq!(
            Resamples::probability_of_improvement(&x, &y, RESAMPLES),
            estimate_of_two(&a, &b, probability_of_improvement)
        );
    }
}
