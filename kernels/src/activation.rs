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
    /// `z` is scratch space afterwards; today it keeps its values.
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
    fn write<const DERIVATIVE: bool>(self, z: &mut [f32], h: &mut [f32]) {
        match self {
            Activation::Relu => write_each::<DERIVATIVE>(z, h, |x| {
                let is_below = x <= 0.0; // false for NaN, which stays NaN
                (if is_below { 0.0 } else { x }, if is_below { 0.0 } else { 1.0 })
            }),
            Activation::Gelu => write_each::<DERIVATIVE>(z, h, |x| {
                let (below, density) = normal(x);
                (x * below, below + x * density)
            }),
            Activation::Silu => write_each::<DERIVATIVE>(z, h, |x| {
                let s = sigmoid(x);
                (x * s, s * (1.0 + x * (1.0 - s)))
            }),
            Activation::Tanh => write_each::<DERIVATIVE>(z, h, |x| {
                let t = tanh(x);
                (t, 1.0 - t * t)
            }),
            Activation::Elu => write_each::<DERIVATIVE>(z, h, |x| {
                // eˣ − 1 = 2t / (1 − t) with t = tanh(x/2): no cancellation near 0.
                let t = tanh(0.5 * x);
                let below = 2.0 * t / (1.0 - t);
                (if x > 0.0 { x } else { below }, if x > 0.0 { 1.0 } else { exp(x) })
            }),
        }
    }
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
