//! Adam over slices: [`AdamStep`].

use crate::{ThreadPool, widest};

/// Moments smaller than this in absolute value are set to 0.
///
/// The moments of a weight without a gradient, such as a dead unit's, would otherwise decay until they are subnormal and
/// stay so, and arithmetic on subnormal numbers takes some processors a hundred times as long. A first moment of this
/// size moves a weight by less than 10⁻³⁰; the root of such a second moment is negligible beside `eps`.
const NEGLIGIBLE: f32 = 1e-35;

/// The constants of one step of Adam.
///
/// With gradient g and bias corrections cᵢ = 1 − βᵢᵗ at step t, for each parameter x:
///
/// ```text
/// m ← m + (1 − β₁)(g − m)
/// v ← β₂ v + (1 − β₂) g²
/// x ← x − (lr / c₁) · m / (√v / √c₂ + eps)
/// ```
///
/// Source: Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// 1 − β₁.
    first_rate: f32,
    /// β₂.
    second_decay: f32,
    /// 1 − β₂.
    second_rate: f32,
    /// √c₂.
    root_scale: f32,
    eps: f32,
    /// lr / c₁.
    step_size: f32,
}

impl AdamStep {
    /// The constants of step number `step`, counted from 1. They are computed in `f64` and rounded once.
    pub fn new(learning_rate: f64, beta1: f64, beta2: f64, eps: f64, step: i64) -> Self {
        let bias_correction = |beta: f64| 1.0 - beta.powf(step as f64);
        AdamStep {
            first_rate: (1.0 - beta1) as f32,
            second_decay: beta2 as f32,
            second_rate: (1.0 - beta2) as f32,
            root_scale: bias_correction(beta2).sqrt() as f32,
            eps: eps as f32,
            step_size: (learning_rate / bias_correction(beta1)) as f32,
        }
    }

    /// Takes the step: updates parameters and both moments in place. The threads do not change the result.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn apply(
        &self,
        pool: &ThreadPool,
        parameters: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
    ) {
        assert_eq!(
            [first.len(), second.len(), gradient.len()],
            [parameters.len(); 3],
            "each parameter has two moments and a gradient"
        );
        let chunk = pool.chunk_len(parameters.len());
        let chunks = parameters
            .chunks_mut(chunk)
            .zip(first.chunks_mut(chunk))
            .zip(second.chunks_mut(chunk))
            .zip(gradient.chunks(chunk));
        pool.for_each(chunks.collect(), |(((parameters, first), second), gradient)| {
            widest(
                #[inline(always)]
                || self.update(parameters, first, second, gradient),
            );
        });
    }

    #[inline(always)]
    fn update(&self, parameters: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        for (((x, m), v), g) in parameters.iter_mut().zip(first).zip(second).zip(gradient) {
            *m = without_negligible(*m + self.first_rate * (g - *m));
            *v = without_negligible(*v * self.second_decay + g * g * self.second_rate);
            *x -= *m / (v.sqrt() / self.root_scale + self.eps) * self.step_size;
        }
    }
}

#[inline(always)]
fn without_negligible(moment: f32) -> f32 {
    // NaN is not below anything, and stays.
    if moment.abs() < NEGLIGIBLE { 0.0 } else { moment }
}
