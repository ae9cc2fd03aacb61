//! How the settings of the next trial are chosen: [`Sampler`].
//!
//! What is drawn depends on the seed of the search, the number of the trial, and the trials before it, so that a search goes on
//! after any interruption as it would have.

use sac_agents::noise::{Stream, derived_seed};
use serde::Serialize;

use super::{
    parzen::{Parzen, Shares},
    space::{Parameter, Point, Range, Space},
};

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

/// One in so many trials is a good one, but no more than `MOST_GOOD`.
const GOOD_ONE_IN: usize = 10;
const MOST_GOOD: usize = 25;

/// Values that TPE draws and compares.
const CANDIDATES: usize = 24;

impl Sampler {
    pub const NAMES: [(&'static str, Sampler); 3] = [
        ("tpe", Sampler::Tpe),
        ("random", Sampler::Random),
        ("quasi_random", Sampler::QuasiRandom),
    ];

    /// The point of a trial. `before` are the points of earlier trials, the best first.
    pub fn draw(self, space: &Space, seed: u64, number: u64, before: &[&Point]) -> Point {
        let mut point = Point::new();
        // The sequence gives a dimension to each setting in this order, also to those that will not count.
        for (dimension, parameter) in space.0.iter().enumerate() {
            let mut stream = Stream::derive(seed, &parameter.key, number);
            let unit = match self {
                Sampler::QuasiRandom => {
                    let seed = derived_seed(seed, "sobol", 0) as u32;
                    f64::from(sobol_burley::sample(number as u32, dimension as u32, seed))
                }
                Sampler::Tpe if before.len() >= STARTUP_TRIALS => {
                    point.insert(parameter.key.clone(), tpe(parameter, before, &mut stream));
                    continue;
                }
                Sampler::Tpe | Sampler::Random => stream.fraction(),
            };
            point.insert(parameter.key.clone(), parameter.range.at(unit));
        }
        space.counting(point)
    }
}

/// The value at which good trials are denser than others by most, of several that are drawn from the good ones.
fn tpe(parameter: &Parameter, before: &[&Point], stream: &mut Stream) -> f64 {
    let known: Vec<f64> = before
        .iter()
        .filter_map(|point| point.get(&parameter.key).copied())
        .collect();
    let good = known.len().div_ceil(GOOD_ONE_IN).min(MOST_GOOD);
    let (good, others) = known.split_at(good);
    match &parameter.range {
        Range::Choice(choices) => {
            let shares = |values: &[f64]| {
                let made: Vec<usize> = values.iter().map(|value| *value as usize).collect();
                Shares::new(choices.len(), &made)
            };
            let (good, others) = (shares(good), shares(others));
            let ratio = |choice: &usize| good.probability(*choice) / others.probability(*choice);
            best((0..CANDIDATES).map(|_| good.sample(stream)), ratio).unwrap_or(0) as f64
        }
        range => {
            let parzen = |values: &[f64]| {
                let units: Vec<f64> = values.iter().map(|value| range.unit(*value)).collect();
                Parzen::new(&units)
            };
            let (good, others) = (parzen(good), parzen(others));
            let ratio = |unit: &f64| good.density(*unit) / others.density(*unit);
            range.at(best((0..CANDIDATES).map(|_| good.sample(stream)), ratio).unwrap_or(0.5))
        }
    }
}

/// The candidate with the largest ratio.
fn best<T>(candidates: impl Iterator<Item = T>, ratio: impl Fn(&T) -> f64) -> Option<T> {
    candidates.max_by(|a, b| ratio(a).total_cmp(&ratio(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::search::table;

    fn space() -> Space {
        let text = "rate = { min = 1e-5, max = 1e-1, log = true }\nother = { min = 1e-5, max = 1e-1, log = true }\n\
                    width = { min = 8, max = 64, step = 8 }\nkind = { choice = ['a', 'b', 'c'] }";
        let mut problems = Vec::new();
        let space = table::space(&text.parse().expect("TOML"), &mut problems);
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
