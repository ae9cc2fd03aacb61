//! Numbers with intervals, and what is made of them: [`Statistic`], [`Comparison`], `profile`.

use serde::Serialize;

use crate::{
    resamples::Resamples,
    statistics::{
        Estimate, RESAMPLES, RESAMPLES_OF_CURVES, Scores, estimate, interquartile_mean, probability_of_improvement,
    },
};

/// Runs of each algorithm below which no order is claimed: a bootstrap over fewer gives intervals that are too narrow. (Of
/// three runs against three, all above the others has a probability of one in ten without any difference.)
pub const FEWEST_RUNS: usize = 5;

/// Places at which a performance profile is computed.
const PROFILE_POINTS: usize = 51;

/// A number, with an interval where there are at least two runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// Of the runs themselves.
    pub value: f64,
    /// Ends of the 95 % interval.
    pub interval: Option<[f64; 2]>,
}

impl Statistic {
    /// A statistic of scores, with an interval where every task has at least two runs.
    pub(crate) fn of(scores: &Scores, resamples: usize, statistic: fn(&Scores) -> f64) -> Statistic {
        match scores.has_interval() {
            true => Statistic::from(estimate(scores, resamples, statistic)),
            false => Statistic {
                value: statistic(scores),
                interval: None,
            },
        }
    }

    /// Interquartile mean of one task's scores.
    ///
    /// `None` where there is no score, or one that is not finite.
    pub fn iqm(scores: &[f64], resamples: usize) -> Option<Self> {
        Some(Statistic::of(
            &Scores::new(vec![scores.to_vec()])?,
            resamples,
            interquartile_mean,
        ))
    }

    /// Probability that a run of `x` scores higher than one of `y`, on one task.
    ///
    /// `None` where one has no score, or one that is not finite.
    pub fn improvement(x: &[f64], y: &[f64]) -> Option<Self> {
        let [x, y] = [x, y].map(|scores| Scores::new(vec![scores.to_vec()]));
        Some(Statistic::improvement_of(&x?, &y?))
    }

    fn improvement_of(x: &Scores, y: &Scores) -> Self {
        match x.has_interval() && y.has_interval() {
            true => Statistic::from(Resamples::probability_of_improvement(x.tasks(), y.tasks(), RESAMPLES)),
            false => Statistic {
                value: probability_of_improvement(x, y),
                interval: None,
            },
        }
    }

    /// Whether its interval excludes a number.
    pub fn excludes(&self, number: f64) -> bool {
        self.interval.is_some_and(|[low, high]| number < low || high < number)
    }
}

impl From<Estimate> for Statistic {
    fn from(estimate: Estimate) -> Self {
        Statistic {
            value: estimate.value,
            interval: Some([estimate.low, estimate.high]),
        }
    }
}

/// Two algorithms on the same tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// One label.
    pub x: String,
    /// The other.
    pub y: String,
    /// That a run of `x` ends higher than one of `y`.
    pub probability_of_improvement: Statistic,
    /// Whether the interval excludes 0.5, with at least [`FEWEST_RUNS`] runs of each.
    pub is_separated: bool,
}

impl Comparison {
    /// Which of the two ends higher, in words.
    pub(crate) fn order(&self) -> String {
        match self.is_separated {
            false => "none shown".to_string(),
            true if self.probability_of_improvement.value > 0.5 => format!("{} ends higher", self.x),
            true => format!("{} ends higher", self.y),
        }
    }

    /// Every pair of algorithms on the same tasks, or every other against one.
    pub(crate) fn of_pairs(algorithms: &[(String, Scores)], against: Option<&str>) -> Vec<Comparison> {
        let mut comparisons = Vec::new();
        for (index, (x, x_scores)) in algorithms.iter().enumerate() {
            for (other, (y, y_scores)) in algorithms.iter().enumerate() {
                let is_wanted = match against {
                    Some(label) => y == label && index != other,
                    None => index < other,
                };
                if is_wanted {
                    let probability = Statistic::improvement_of(x_scores, y_scores);
                    let fewest = x_scores
                        .runs_of_tasks()
                        .into_iter()
                        .chain(y_scores.runs_of_tasks())
                        .min();
                    comparisons.push(Comparison {
                        x: x.clone(),
                        y: y.clone(),
                        probability_of_improvement: probability,
                        is_separated: fewest >= Some(FEWEST_RUNS) && probability.excludes(0.5),
                    });
                }
            }
        }
        comparisons
    }
}

/// The share of runs that end above a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ProfilePoint {
    /// The number.
    pub above: f64,
    /// Share of the runs.
    #[serde(flatten)]
    pub share: Statistic,
}

/// Numbers at equal distances from the lowest to the highest value.
pub(crate) fn places(values: &[f64]) -> Vec<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() || low == high {
        return values.first().copied().into_iter().collect();
    }
    let step = (high - low) / (PROFILE_POINTS - 1) as f64;
    (0..PROFILE_POINTS).map(|index| low + step * index as f64).collect()
}

/// A performance profile: the share of runs above each of these numbers.
pub(crate) fn profile(scores: &Scores, places: &[f64]) -> Vec<ProfilePoint> {
    let resamples = Resamples::new(&scores.runs_of_tasks(), RESAMPLES_OF_CURVES);
    let pooled = scores.pooled();
    let has_interval = scores.has_interval();
    let point = |above: &f64| {
        let found = resamples.share_above(&pooled, *above);
        ProfilePoint {
            above: *above,
            share: Statistic {
                value: found.value,
                interval: has_interval.then_some([found.low, found.high]),
            },
        }
    };
    places.iter().map(point).collect()
}
