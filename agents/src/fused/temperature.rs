//! The temperature's step over slices: equation 18 of SAC 2018b and its derivative, one number each.

use tch::{Device, Kind, Tensor};

use crate::{
    report::MetricValue,
    slices::{as_slice, as_slice_mut},
    temperature::{Temperature, TemperatureObjective},
};

/// α, a detached scalar.
pub(super) fn alpha(temperature: &Temperature) -> Tensor {
    match temperature {
        Temperature::Fixed { alpha } => alpha.shallow_clone(),
        Temperature::Learned { log_alpha, .. } => {
            let mut alpha = Tensor::empty([], (Kind::Float, Device::Cpu));
            as_slice_mut(&mut alpha)[0] = as_slice(log_alpha.params.flat())[0].exp();
            alpha
        }
    }
}

/// Updates a learned α with the log-probabilities `[B]` (nats) of actions just drawn. Returns the loss; `None` if α is
/// fixed.
pub(super) fn learn(temperature: &mut Temperature, log_prob: &Tensor) -> Option<MetricValue> {
    let Temperature::Learned {
        log_alpha,
        current_target,
        objective,
        ..
    } = temperature
    else {
        return None;
    };
    let log_prob = log_prob.contiguous();
    let log_probs = as_slice(&log_prob);
    let sum: f64 = log_probs.iter().map(|log_prob| f64::from(*log_prob)).sum();
    let at = f64::from(as_slice(log_alpha.params.flat())[0]);
    let excess = sum / log_probs.len() as f64 + *current_target;
    let (derivative, weight) = match objective {
        TemperatureObjective::LogAlpha => (-excess, at),
        TemperatureObjective::Alpha => (-at.exp() * excess, at.exp()),
    };
    log_alpha.step_along(&[derivative as f32]);
    Some(((-weight * excess) as f32).into())
}
