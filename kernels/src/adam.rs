//! Adam over slices: [`AdamStep`].

use crate::{ThreadPool, widest};

/// Moments smaller than this in absolute value are set to 0.
///
/// The moments of a weight without a gradient, such as a dead unit's, would otherwise decay until they are subnormal
/// and stay so, and arithmetic on subnormal numbers takes some processors a hundred times as long. A first moment of
/// this size moves a weight by less than 10⁻³⁰; the root of such a second moment is negligible beside `eps`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Algorithm 1 of the paper, in `f64`, for one parameter.
    struct Reference {
        parameter: f64,
        first: f64,
        second: f64,
    }

    impl Reference {
        fn step(&mut self, gradient: f64, step: i32) {
            let (learning_rate, beta1, beta2, eps) = (3e-4, 0.9f64, 0.999f64, 1e-8);
            self.first = beta1 * self.first + (1.0 - beta1) * gradient;
            self.second = beta2 * self.second + (1.0 - beta2) * gradient * gradient;
            let first = self.first / (1.0 - beta1.powi(step));
            let second = self.second / (1.0 - beta2.powi(step));
            self.parameter -= learning_rate * first / (second.sqrt() + eps);
        }
    }

    fn adam_step(step: i64) -> AdamStep {
        AdamStep::new(3e-4, 0.9, 0.999, 1e-8, step)
    }

    proptest! {
        #[test]
        fn steps_are_those_of_the_paper(
            mut parameters in proptest::collection::vec(-1.0f32..1.0, 0..70),
            gradients in proptest::collection::vec(-10.0f32..10.0, 20),
        ) {
            let pool = ThreadPool::single();
            let mut references: Vec<Reference> = parameters
                .iter()
                .map(|x| Reference { parameter: f64::from(*x), first: 0.0, second: 0.0 })
                .collect();
            let (mut first, mut second) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);
            for (index, gradient) in gradients.iter().enumerate() {
                let step = index + 1;
                let gradient: Vec<f32> = (0..parameters.len()).map(|i| gradient * (i % 5) as f32).collect();
                adam_step(step as i64).apply(&pool, &mut parameters, &mut first, &mut second, &gradient);
                for (reference, gradient) in references.iter_mut().zip(&gradient) {
                    reference.step(f64::from(*gradient), step as i32);
                }
            }
            for (found, reference) in parameters.iter().zip(&references) {
                // Twenty steps of at most 3e-4 or so, and as many roundings of a number below 1.
                prop_assert!((f64::from(*found) - reference.parameter).abs() < 3e-6);
            }
        }
    }

    #[test]
    fn threads_and_alignment_change_no_bit() {
        const LEN: usize = 40_003;
        let values = |scale: f32| -> Vec<f32> { (0..LEN).map(|i| (i as f32 * 0.37).sin() * scale).collect() };
        let step_with = |threads: usize, first: usize| {
            let (mut x, mut m, gradient) = (values(1.0), values(0.1), values(3.0));
            let mut v: Vec<f32> = values(0.01).iter().map(|v| v.abs()).collect();
            let pool = ThreadPool::new(threads);
            adam_step(7).apply(
                &pool,
                &mut x[first..],
                &mut m[first..],
                &mut v[first..],
                &gradient[first..],
            );
            [x, m, v].map(|values| values[5..].to_vec())
        };
        let expected = step_with(1, 0);
        for (threads, first) in [(2, 0), (3, 0), (1, 1), (3, 5)] {
            assert_eq!(step_with(threads, first), expected, "{threads} threads from {first}");
        }
    }

    #[test]
    fn moments_without_a_gradient_decay_to_zero_and_are_never_subnormal() {
        let pool = ThreadPool::single();
        let (mut x, mut m, mut v) = ([0.5f32; 40], [0.0f32; 40], [0.0f32; 40]);
        adam_step(1).apply(&pool, &mut x, &mut m, &mut v, &[1e-3; 40]);
        for step in 2..1_002 {
            adam_step(step).apply(&pool, &mut x, &mut m, &mut v, &[0.0; 40]);
            assert!(m.iter().chain(&v).all(|moment| *moment == 0.0 || moment.is_normal()));
        }
        assert_eq!(m, [0.0; 40]);
        assert!(v.iter().all(|v| v.is_normal()), "the second moment decays more slowly");
        let before = x;
        adam_step(1_002).apply(&pool, &mut x, &mut m, &mut v, &[0.0; 40]);
        assert_eq!(x, before, "nothing moves a parameter whose first moment is 0");
    }

    #[test]
    fn a_nan_gradient_shows_in_the_parameter_and_in_no_other() {
        let (mut x, mut m, mut v) = ([0.5f32; 20], [0.0f32; 20], [0.0f32; 20]);
        let mut gradient = [1.0; 20];
        gradient[17] = f32::NAN;
        adam_step(1).apply(&ThreadPool::single(), &mut x, &mut m, &mut v, &gradient);
        for values in [x, m, v] {
            let diverged: Vec<bool> = values.iter().map(|value| value.is_nan()).collect();
            assert!(
                diverged
                    .iter()
                    .enumerate()
                    .all(|(index, is_nan)| *is_nan == (index == 17))
            );
        }
    }

    #[test]
    #[should_panic(expected = "two moments and a gradient")]
    fn slices_of_other_lengths_are_refused() {
        adam_step(1).apply(
            &ThreadPool::single(),
            &mut [0.0; 2],
            &mut [0.0; 2],
            &mut [0.0; 2],
            &[0.0; 3],
        );
    }
}
