//! Densities of a setting from few trials, for the tree-structured Parzen estimator: [`Parzen`] of numbers in [0, 1], [`Shares`]
//! of choices.
//!
//! Bergstra et al. 2011, *Algorithms for Hyper-Parameter Optimization*, section 4, with the widths and the prior of Optuna
//! (Akiba et al. 2019). The prior keeps every value possible: without it, the estimator stays with the first good trial.

use sac_agents::noise::Stream;

/// A mixture of normal densities within [0, 1], one around each number and a wide one, the prior.
pub struct Parzen(Vec<Kernel>);

#[derive(Clone, Copy)]
struct Kernel {
    mean: f64,
    std: f64,
}

const PRIOR: Kernel = Kernel { mean: 0.5, std: 1.0 };

/// The narrowest kernel, however many there are, is the inverse of it.
const MOST_NARROW: usize = 100;

impl Parzen {
    /// Kernels are as wide as the larger gap to their neighbours.
    pub fn new(numbers: &[f64]) -> Parzen {
        let mut means: Vec<f64> = numbers.iter().copied().chain([PRIOR.mean]).collect();
        means.sort_by(f64::total_cmp);
        let narrowest = 1.0 / (means.len() + 1).min(MOST_NARROW) as f64;
        let kernel = |mean: f64| {
            let below = means.iter().rev().find(|other| **other < mean);
            let above = means.iter().find(|other| **other > mean);
            let gaps = [below.map(|other| mean - other), above.map(|other| other - mean)];
            let widest = gaps.into_iter().flatten().fold(0.0, f64::max);
            Kernel {
                mean,
                std: widest.clamp(narrowest, PRIOR.std),
            }
        };
        Parzen(numbers.iter().map(|mean| kernel(*mean)).chain([PRIOR]).collect())
    }

    /// The density at a number of [0, 1].
    pub fn density(&self, at: f64) -> f64 {
        let sum: f64 = self.0.iter().map(|kernel| kernel.density(at)).sum();
        sum / self.0.len() as f64
    }

    /// Draws a number of [0, 1].
    pub fn sample(&self, stream: &mut Stream) -> f64 {
        let Kernel { mean, std } = self.0[stream.index(self.0.len())];
        let mut normal = [0.0];
        // A kernel has its mean in [0, 1] and is no wider than 1: a third of its draws at least fall into it.
        for _ in 0..1000 {
            stream.normal_into(&mut normal);
            let drawn = mean + std * f64::from(normal[0]);
            if (0.0..=1.0).contains(&drawn) {
                return drawn;
            }
        }
        mean
    }
}

impl Kernel {
    fn density(&self, at: f64) -> f64 {
        let cumulative = |x: f64| 0.5 * libm::erfc(-(x - self.mean) / self.std / std::f64::consts::SQRT_2);
        let z = (at - self.mean) / self.std;
        let normal = (-0.5 * z * z).exp() / (self.std * (2.0 * std::f64::consts::PI).sqrt());
        normal / (cumulative(1.0) - cumulative(0.0))
    }
}

/// Probabilities of choices: how often each was made, and a prior that is one choice in all.
pub struct Shares(Vec<f64>);

impl Shares {
    /// Of so many choices, from the indices of those that were made.
    pub fn new(count: usize, made: &[usize]) -> Shares {
        let of = |choice: usize| made.iter().filter(|one| **one == choice).count() as f64 + 1.0 / count as f64;
        Shares(
            (0..count)
                .map(|choice| of(choice) / (made.len() as f64 + 1.0))
                .collect(),
        )
    }

    pub fn probability(&self, choice: usize) -> f64 {
        self.0[choice]
    }

    /// Draws a choice.
    pub fn sample(&self, stream: &mut Stream) -> usize {
        let mut left = stream.fraction();
        for (choice, share) in self.0.iter().enumerate() {
            left -= share;
            if left < 0.0 {
                return choice;
            }
        }
        self.0.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_those_of_what_is_drawn() {
        let parzen = Parzen::new(&[0.1, 0.12, 0.9]);
        let mut stream = Stream::derive(1, "test", 0);
        const BINS: usize = 20;
        const DRAWS: usize = 200_000;
        let mut counts = [0.0; BINS];
        for _ in 0..DRAWS {
            counts[((parzen.sample(&mut stream) * BINS as f64) as usize).min(BINS - 1)] += 1.0 / DRAWS as f64;
        }
        for (bin, count) in counts.iter().enumerate() {
            const POINTS: usize = 100;
            let at = |point: usize| (bin as f64 + (point as f64 + 0.5) / POINTS as f64) / BINS as f64;
            let expected: f64 =
                (0..POINTS).map(|point| parzen.density(at(point))).sum::<f64>() / (POINTS * BINS) as f64;
            // Four standard errors of the count.
            let error = 4.0 * (expected / DRAWS as f64).sqrt();
            assert!(
                (count - expected).abs() < error,
                "bin {bin}: {count} drawn, {expected} expected"
            );
        }
    }

    #[test]
    fn equal_numbers_leave_room_for_others() {
        let parzen = Parzen::new(&[0.3; 5]);
        assert!(parzen.density(0.3) > 5.0 * parzen.density(0.9));
        assert!(parzen.density(0.9) > 0.1, "{}", parzen.density(0.9));
    }

    #[test]
    fn shares_are_counts_with_one_more_among_all() {
        let shares = Shares::new(4, &[1, 1, 3]);
        let all: Vec<f64> = (0..4).map(|choice| shares.probability(choice)).collect();
        assert_eq!(all, [0.0625, 0.5625, 0.0625, 0.3125]);
        let mut stream = Stream::derive(1, "test", 0);
        let ones = (0..10_000).filter(|_| shares.sample(&mut stream) == 1).count();
        assert!((5400..5850).contains(&ones), "{ones}");
    }
}
