//! Activation functions and their derivatives over slices: [`Activation`].

use serde::{Deserialize, Serialize};

use crate::{
    elementary::{exp, normal, sigmoid, tanh},
    widest,
};

/// An activation function φ between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x·Φ(x), the exact form.
    Gelu,
    /// x·sigmoid(x).
    Silu,
    /// tanh(x).
    Tanh,
    /// x for x > 0, eˣ − 1 otherwise.
    Elu,
}

impl Activation {
    /// Writes h = φ(z).
    ///
    /// What `z` holds afterwards is unspecified.
    ///
    /// # Panics
    /// When `z` and `h` differ in length.
    pub fn apply(self, z: &mut [f32], h: &mut [f32]) {
        assert_eq!(z.len(), h.len(), "an activation has a result for each input");
        widest(
            #[inline(always)]
            || self.write::<false>(z, h),
        );
    }

    /// Writes h = φ(z), then replaces each z by φ'(z).
    ///
    /// # Panics
    /// When `z` and `h` differ in length.
    pub fn apply_with_derivative(self, z: &mut [f32], h: &mut [f32]) {
        assert_eq!(z.len(), h.len(), "an activation has a result for each input");
        widest(
            #[inline(always)]
            || self.write::<true>(z, h),
        );
    }

    #[inline(always)]
    #[expect(
        clippy::redundant_closure,
        reason = "a function as a value is called through a shim that is not inlined"
    )]
    fn write<const DERIVATIVE: bool>(self, z: &mut [f32], h: &mut [f32]) {
        match self {
            Activation::Relu => write_each::<DERIVATIVE>(
                z,
                h,
                #[inline(always)]
                |x| relu(x),
            ),
            Activation::Gelu => write_each::<DERIVATIVE>(
                z,
                h,
                #[inline(always)]
                |x| gelu(x),
            ),
            Activation::Silu => write_each::<DERIVATIVE>(
                z,
                h,
                #[inline(always)]
                |x| silu(x),
            ),
            Activation::Tanh => write_each::<DERIVATIVE>(
                z,
                h,
                #[inline(always)]
                |x| tanh_with_derivative(x),
            ),
            Activation::Elu => write_each::<DERIVATIVE>(
                z,
                h,
                #[inline(always)]
                |x| elu(x),
            ),
        }
    }
}

// Value and derivative of each activation at x. They, and the closures above, are inlined by force: a call per value
// would keep the loop from using vectors.

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    let is_below = x <= 0.0; // false for NaN, which stays NaN
    (if is_below { 0.0 } else { x }, if is_below { 0.0 } else { 1.0 })
}

#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let (below, density) = normal(x);
    (x * below, below + x * density)
}

#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

#[inline(always)]
fn tanh_with_derivative(x: f32) -> (f32, f32) {
    let t = tanh(x);
    (t, 1.0 - t * t)
}

#[inline(always)]
fn elu(x: f32) -> (f32, f32) {
    // eˣ − 1 = 2t / (1 − t) with t = tanh(x/2): no cancellation near 0.
    let t = tanh(0.5 * x);
    let below = 2.0 * t / (1.0 - t);
    (if x > 0.0 { x } else { below }, if x > 0.0 { 1.0 } else { exp(x) })
}

/// Writes the value and, with `DERIVATIVE`, the derivative that `f` gives for each z.
#[inline(always)]
fn write_each<const DERIVATIVE: bool>(z: &mut [f32], h: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for (z, h) in z.iter_mut().zip(h) {
        let (value, derivative) = f(*z);
        *h = value;
        if DERIVATIVE {
            *z = derivative;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::tests::normal_cdf;

    const ALL: [Activation; 5] = [
        Activation::Relu,
        Activation::Gelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Elu,
    ];

    /// φ(x) and φ'(x), from the definitions, in `f64`.
    fn exact(activation: Activation, x: f64) -> (f64, f64) {
        match activation {
            Activation::Relu => (x.max(0.0), f64::from(x > 0.0)),
            Activation::Gelu => {
                let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
                (x * normal_cdf(x), normal_cdf(x) + x * density)
            }
            Activation::Silu => {
                let s = 1.0 / (1.0 + (-x).exp());
                (x * s, s + x * s * (1.0 - s))
            }
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Elu => (x.max(x.min(0.0).exp_m1()), x.min(0.0).exp()),
        }
    }

    #[test]
    fn values_and_derivatives_are_those_of_the_definitions() {
        let range: Vec<f32> = (-1_503..=1_503).map(|step| step as f32 * 0.01).collect();
        for activation in ALL {
            let (mut z, mut h) = (range.clone(), vec![f32::NAN; range.len()]);
            activation.apply_with_derivative(&mut z, &mut h);
            for ((x, derivative), value) in range.iter().zip(&z).zip(&h) {
                let exact = exact(activation, f64::from(*x));
                for (found, exact) in [(value, exact.0), (derivative, exact.1)] {
                    let error = (f64::from(*found) - exact).abs() / (exact.abs() + 1.0);
                    assert!(error < 1e-6, "{activation:?} at {x}: {found}, not {exact}");
                }
            }
            let mut alone = vec![f32::NAN; range.len()];
            activation.apply(&mut range.clone(), &mut alone);
            assert_eq!(alone, h, "{activation:?}: with and without derivatives");
        }
    }

    #[test]
    fn small_values_of_elu_keep_their_digits() {
        let mut z = [-1e-3, -1e-5, -1e-20];
        let (inputs, mut h) = (z, [0.0; 3]);
        Activation::Elu.apply(&mut z, &mut h);
        for (x, h) in inputs.iter().zip(h) {
            let exact = f64::from(*x).exp_m1();
            assert!((f64::from(h) / exact - 1.0).abs() < 1e-6, "{x}: {h}, not {exact}");
        }
    }

    #[test]
    fn vectors_change_no_bit_at_any_length_or_alignment() {
        let range: Vec<f32> = (-2_000..2_003).map(|step| step as f32 * 0.007).collect();
        for activation in ALL {
            // A value at a time: no vectors.
            let mut expected = Vec::new();
            for x in &range {
                let (mut z, mut h) = ([*x], [f32::NAN]);
                activation.write::<true>(&mut z, &mut h);
                expected.push((z[0], h[0]));
            }
            for (first, last) in [(0, 4_003), (1, 4_003), (3, 70), (5, 5), (7, 8), (2, 33)] {
                let mut z = range.clone();
                let mut h = vec![f32::NAN; range.len()];
                activation.apply_with_derivative(&mut z[first..last], &mut h[first..last]);
                let found: Vec<(f32, f32)> = z.into_iter().zip(h).collect();
                assert_eq!(found[first..last], expected[first..last], "{activation:?}");
            }
        }
    }

    #[test]
    fn results_far_from_zero_are_finite_and_nan_stays_nan() {
        for activation in ALL {
            let inputs = [-f32::MAX, -1e4, -200.0, -1e-40, 1e-40, 200.0, 1e4];
            let (mut z, mut h) = (inputs, [f32::NAN; 7]);
            activation.apply_with_derivative(&mut z, &mut h);
            assert!(
                z.iter().chain(&h).all(|value| value.is_finite()),
                "{activation:?}: {z:?} {h:?}"
            );
            let (mut z, mut h) = ([f32::NAN; 20], [0.0; 20]);
            activation.apply(&mut z, &mut h);
            assert!(h.iter().all(|h| h.is_nan()), "{activation:?}");
        }
    }

    #[test]
    fn names_in_files_are_in_snake_case() {
        let names = serde_json::to_string(&ALL).expect("names can be written");
        assert_eq!(names, r#"["relu","gelu","silu","tanh","elu"]"#);
        let read: Vec<Activation> = serde_json::from_str(&names).expect("names can be read");
        assert_eq!(read, ALL);
    }
}
