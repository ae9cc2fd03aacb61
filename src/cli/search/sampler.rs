//! How the settings of the next trial are chosen: [`Sampler`].
//!
//! The samplers are those of the crate `optimizer`. They keep nothing between calls: what they draw depends on the seed of the
//! search, the number of the trial, and the trials before it, so that a search goes on after any interruption as it would have.

use std::collections::HashMap;

use optimizer::{
    param::ParamValue,
    parameter::ParamId,
    sampler::{CompletedTrial, RandomSampler, Sampler as _, SobolSampler, TpeSampler},
};
use sac_agents::noise::derived_seed;
use serde::Serialize;

use super::space::{Point, Range, Space};

/// A way to choose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Uniformly, each setting on its own.
    Random,
    /// A scrambled Sobol sequence (Burley 2020): as uniform, and more even.
    QuasiRandom,
    /// Tree-structured Parzen estimator (Bergstra et al. 2011), for each setting on its own. The first trials are random.
    Tpe,
}

/// Trials that TPE draws at random before it learns from them.
const STARTUP_TRIALS: usize = 10;

impl Sampler {
    pub const NAMES: [(&'static str, Sampler); 3] = [
        ("tpe", Sampler::Tpe),
        ("random", Sampler::Random),
        ("quasi_random", Sampler::QuasiRandom),
    ];

    /// The point of a trial. `before` are the points of earlier trials, the best first.
    pub fn draw(self, space: &Space, seed: u64, number: u64, before: &[&Point]) -> Point {
        let sobol = SobolSampler::with_seed(seed);
        let mut point = Point::new();
        // The sequence gives a dimension to each setting in this order, also to those that will not count.
        for parameter in &space.0 {
            let distribution = parameter.range.distribution();
            let seed = derived_seed(seed, &parameter.key, 0);
            let drawn = match self {
                Sampler::QuasiRandom => sobol.sample(&distribution, number, &[]),
                Sampler::Tpe if before.len() >= STARTUP_TRIALS => {
                    let trials = trials(&parameter.key, &parameter.range, before);
                    let sampler = TpeSampler::builder().n_startup_trials(0).seed(seed).build();
                    // It refuses settings of its own that are not set here.
                    let sampler = sampler.unwrap_or_default();
                    sampler.sample(&distribution, number, &trials)
                }
                Sampler::Tpe | Sampler::Random => RandomSampler::with_seed(seed).sample(&distribution, number, &[]),
            };
            let raw = match drawn {
                ParamValue::Float(value) => value,
                ParamValue::Int(value) => value as f64,
                ParamValue::Categorical(index) => index as f64,
            };
            point.insert(parameter.key.clone(), parameter.range.rounded(raw));
        }
        space.counting(point)
    }
}

/// Earlier trials as the sampler takes them, with one setting alone: it tells settings apart by their ranges, and two may have
/// the same. It wants small values, and looks at their order only.
fn trials(key: &str, range: &Range, before: &[&Point]) -> Vec<CompletedTrial> {
    let id = ParamId::new();
    let trial = |(rank, point): (usize, &&Point)| {
        let raw = *point.get(key)?;
        let value = match range {
            Range::Float { .. } => ParamValue::Float(raw),
            Range::Integer { .. } => ParamValue::Int(raw as i64),
            Range::Choice(_) => ParamValue::Categorical(raw as usize),
        };
        Some(CompletedTrial::new(
            rank as u64,
            HashMap::from([(id, value)]),
            HashMap::from([(id, range.distribution())]),
            HashMap::new(),
            rank as f64,
        ))
    };
    before.iter().enumerate().filter_map(trial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        let text = "rate = { min = 1e-5, max = 1e-1, log = true }\nother = { min = 1e-5, max = 1e-1, log = true }\n\
                    width = { min = 8, max = 64, step = 8 }\nkind = { choice = ['a', 'b', 'c'] }";
        let mut problems = Vec::new();
        let space = Space::from_table(&text.parse().expect("TOML"), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        space
    }

    #[test]
    fn every_sampler_stays_in_its_ranges_and_repeats_itself() {
        let space = space();
        for (name, sampler) in Sampler::NAMES {
            let mut points: Vec<Point> = Vec::new();
            for number in 0..40 {
                let before: Vec<&Point> = points.iter().collect();
                let point = sampler.draw(&space, 7, number, &before);
                assert_eq!(point, sampler.draw(&space, 7, number, &before), "{name}");
                assert!((1e-5..=1e-1).contains(&point["rate"]), "{name}: {point:?}");
                assert!(
                    point["width"] % 8.0 == 0.0 && (8.0..=64.0).contains(&point["width"]),
                    "{name}: {point:?}"
                );
                assert!([0.0, 1.0, 2.0].contains(&point["kind"]), "{name}: {point:?}");
                points.push(point);
            }
            assert!(
                points.iter().any(|point| point["rate"] != point["other"]),
                "{name}: two settings of one range"
            );
            assert_ne!(sampler.draw(&space, 8, 0, &[]), points[0], "{name}: another seed");
        }
    }

    /// The distance to the best point, which is at rate 1e-3, kind 1, whatever the others are.
    fn badness(point: &Point) -> f64 {
        (point["rate"].log10() + 3.0).abs() + f64::from(point["kind"] != 1.0)
    }

    /// The mean badness of the last 20 of 60 trials.
    fn badness_at_the_end(sampler: Sampler, seed: u64) -> f64 {
        let space = space();
        let mut points: Vec<Point> = Vec::new();
        for number in 0..60 {
            let mut before: Vec<&Point> = points.iter().collect();
            before.sort_by(|a, b| badness(a).total_cmp(&badness(b)));
            points.push(sampler.draw(&space, seed, number, &before));
        }
        points[40..].iter().map(badness).sum::<f64>() / 20.0
    }

    #[test]
    fn tpe_learns_from_earlier_trials_where_random_draws_do_not() {
        let median = |sampler: Sampler| {
            let mut all: Vec<f64> = (1..=5).map(|seed| badness_at_the_end(sampler, seed)).collect();
            all.sort_by(f64::total_cmp);
            all[2]
        };
        let (tpe, random) = (median(Sampler::Tpe), median(Sampler::Random));
        assert!(tpe < 0.5 * random, "TPE {tpe}, random {random}");
    }

    #[test]
    fn a_quasi_random_sequence_visits_every_part_of_a_range() {
        let space = space();
        let mut parts = [0; 8];
        for number in 0..16 {
            let point = Sampler::QuasiRandom.draw(&space, 3, number, &[]);
            let part = (point["rate"].log10() + 5.0) / 4.0 * 8.0;
            parts[(part as usize).min(7)] += 1;
        }
        assert!(parts.iter().all(|count| *count == 2), "{parts:?}");
    }
}
