//! Normalisation of observations with running statistics: [`ObservationNormalizer`].
//!
//! All encoders of an agent share one normaliser. Replays hold raw observations; a batch is normalised with the current
//! statistics when it is used.

use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::{
    error::{Error, Result},
    nn::Tracer,
};

/// Added to the variance, so that a constant coordinate becomes 0. As in Stable-Baselines3's `VecNormalize`.
const VARIANCE_EPS: f64 = 1e-8;
/// Normalised coordinates are clamped to ± this value. As in Stable-Baselines3's `VecNormalize`.
const LIMIT: f64 = 10.0;

/// Running mean and variance per coordinate, over all observations of training.
///
/// Source: Welford 1962, "Note on a method for calculating corrected sums of squares and products".
pub struct ObservationNormalizer {
    statistics: Statistics,
    /// Normalised observations are `(obs − shift) · scale`; both have the shape of an observation.
    shift: Tensor,
    scale: Tensor,
    is_stale: bool,
    shape: Vec<i64>,
    device: Device,
}

/// The running statistics, which a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    count: u64,
    mean: Vec<f64>,
    /// Sum of squared deviations from the mean.
    scatter: Vec<f64>,
}

impl ObservationNormalizer {
    /// A normaliser for observations of `shape`. It leaves observations unchanged until it has statistics.
    pub fn new(shape: &[i64], device: Device) -> Self {
        let width = shape.iter().product::<i64>() as usize;
        let mut new = ObservationNormalizer {
            statistics: Statistics {
                count: 0,
                mean: vec![0.0; width],
                scatter: vec![0.0; width],
            },
            shift: Tensor::new(),
            scale: Tensor::new(),
            is_stale: true,
            shape: shape.to_vec(),
            device,
        };
        new.refresh();
        new
    }

    /// Updates the statistics with observations, flattened and concatenated.
    pub fn observe(&mut self, obs: &[f32]) {
        let Statistics { count, mean, scatter } = &mut self.statistics;
        for row in obs.chunks_exact(mean.len()) {
            *count += 1;
            let share = 1.0 / *count as f64;
            for ((mean, scatter), value) in mean.iter_mut().zip(scatter.iter_mut()).zip(row) {
                let distance = f64::from(*value) - *mean;
                *mean += distance * share;
                *scatter += distance * (f64::from(*value) - *mean);
            }
        }
        self.is_stale = true;
    }

    /// Normalised observations `[B, …]`.
    pub fn normalize(&mut self, obs: &Tensor) -> Tensor {
        if self.is_stale {
            self.refresh();
        }
        ((obs - &self.shift) * &self.scale).clamp(-LIMIT, LIMIT)
    }

    /// Adds the normalisation, with the current statistics, to a graph.
    ///
    /// # Errors
    /// When a statistic is not finite.
    pub fn trace(&mut self, tracer: &mut Tracer, obs: Value) -> Result<Value> {
        self.refresh();
        let mut x = obs;
        for (name, numbers, by) in [
            ("observation.shift", &self.shift, Arithmetic::Subtract),
            ("observation.scale", &self.scale, Arithmetic::Multiply),
        ] {
            let tensor = tracer.tensor(name, numbers)?;
            let constant = tracer.add(Op::Constant { tensor }, &[])?;
            x = tracer.add(Op::Combine(by), &[x, constant])?;
        }
        let (low, high) = (-LIMIT as f32, LIMIT as f32);
        tracer.add(Op::Clamp { low, high }, &[x])
    }

    fn refresh(&mut self) {
        let Statistics { count, mean, scatter } = &self.statistics;
        let count = *count;
        let scale: Vec<f32> = scatter
            .iter()
            // One observation gives no estimate of the variance.
            .map(|scatter| {
                if count < 2 {
                    1.0
                } else {
                    (1.0 / (scatter / count as f64 + VARIANCE_EPS).sqrt()) as f32
                }
            })
            .collect();
        let shift: Vec<f32> = mean.iter().map(|mean| *mean as f32).collect();
        self.shift = Tensor::from_slice(&shift)
            .reshape(&self.shape[..])
            .to_device(self.device);
        self.scale = Tensor::from_slice(&scale)
            .reshape(&self.shape[..])
            .to_device(self.device);
        self.is_stale = false;
    }

    /// The current statistics.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Restores statistics from [`ObservationNormalizer::statistics`].
    ///
    /// # Errors
    /// When they are of observations of another size.
    pub fn restore(&mut self, statistics: Statistics) -> Result<()> {
        let width = self.statistics.mean.len();
        if (statistics.mean.len(), statistics.scatter.len()) != (width, width) {
            let problem = format!(
                "has statistics of {} coordinates, expected {width}",
                statistics.mean.len()
            );
            return Err(Error::section("policy", problem));
        }
        self.statistics = statistics;
        self.is_stale = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_of_any_scale_get_mean_zero_and_std_one() {
        let mut normalizer = ObservationNormalizer::new(&[2], Device::Cpu);
        let rows: Vec<f32> = (0..1000)
            .flat_map(|i| [1e4 + (i % 7) as f32, 1e-3 * (i % 5) as f32])
            .collect();
        rows.chunks(26).for_each(|part| normalizer.observe(part));
        let out = normalizer.normalize(&Tensor::from_slice(&rows).reshape([-1, 2]));
        for coordinate in 0..2 {
            let column = out.select(1, coordinate);
            assert!(column.mean(tch::Kind::Double).double_value(&[]).abs() < 1e-2);
            assert!((column.std(false).double_value(&[]) - 1.0).abs() < 2e-2, "{coordinate}");
        }
    }

    #[test]
    fn a_constant_coordinate_becomes_zero_and_an_outlier_is_clamped() {
        let mut normalizer = ObservationNormalizer::new(&[1], Device::Cpu);
        normalizer.observe(&[3.0; 50]);
        assert_eq!(
            normalizer.normalize(&Tensor::from_slice(&[3.0f32])).double_value(&[0]),
            0.0
        );
        assert_eq!(
            normalizer.normalize(&Tensor::from_slice(&[4.0f32])).double_value(&[0]),
            LIMIT
        );
    }

    #[test]
    fn restored_statistics_continue_exactly() {
        let (mut straight, mut resumed) = (
            ObservationNormalizer::new(&[1], Device::Cpu),
            ObservationNormalizer::new(&[1], Device::Cpu),
        );
        let rows: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        straight.observe(&rows);
        let mut first = ObservationNormalizer::new(&[1], Device::Cpu);
        first.observe(&rows[..17]);
        resumed.restore(first.statistics().clone()).unwrap();
        resumed.observe(&rows[17..]);
        assert_eq!(straight.statistics(), resumed.statistics());
        let wide = ObservationNormalizer::new(&[2], Device::Cpu).statistics().clone();
        assert!(resumed.restore(wide).is_err());
    }
}
