//! What stands between layers: [`Activation`], through libtorch and by hand.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::elementary::{exp, normal, sigmoid, tanh};

/// Non-linearity between layers.
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
    /// φ(x), through libtorch and its graph.
    pub(super) fn apply(self, x: Tensor) -> Tensor {
        let mut x = x;
        match self {
            Activation::Relu => x.relu_(),
            Activation::Gelu => x.gelu("none"),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh_(),
            Activation::Elu => x.elu(),
        }
    }

    /// φ(z), written to `h`.
    pub(super) fn by_hand(self, z: &mut [f32], h: &mut [f32]) {
        self.wherever::<false>(z, h);
    }

    /// The same; every z becomes φ'(z), which is made of what φ is made of.
    pub(super) fn with_slopes(self, z: &mut [f32], h: &mut [f32]) {
        self.wherever::<true>(z, h);
    }

    fn wherever<const SLOPES: bool>(self, z: &mut [f32], h: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { self.wide::<SLOPES>(z, h) };
        }
        self.plain::<SLOPES>(z, h);
    }

    /// The same code, for which the compiler may use wider vectors; no operation is fused, so the result is the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn wide<const SLOPES: bool>(self, z: &mut [f32], h: &mut [f32]) {
        self.plain::<SLOPES>(z, h);
    }

    #[inline(always)]
    fn plain<const SLOPES: bool>(self, z: &mut [f32], h: &mut [f32]) {
        match self {
            Activation::Relu => each::<SLOPES>(z, h, |x| {
                let is_below = x <= 0.0; // what is not a number stays none
                (if is_below { 0.0 } else { x }, if is_below { 0.0 } else { 1.0 })
            }),
            Activation::Gelu => each::<SLOPES>(z, h, |x| {
                let (below, density) = normal(x);
                (x * below, below + x * density)
            }),
            Activation::Silu => each::<SLOPES>(z, h, |x| {
                let s = sigmoid(x);
                (x * s, s * (1.0 + x * (1.0 - s)))
            }),
            Activation::Tanh => each::<SLOPES>(z, h, |x| {
                let t = tanh(x);
                (t, 1.0 - t * t)
            }),
            Activation::Elu => each::<SLOPES>(z, h, |x| {
                // eˣ − 1 = 2t / (1 − t), t = tanh ½x, which keeps its digits near 0.
                let t = tanh(0.5 * x);
                let below = 2.0 * t / (1.0 - t);
                (if x > 0.0 { x } else { below }, if x > 0.0 { 1.0 } else { exp(x) })
            }),
        }
    }
}

/// `of` every z, a value and a slope.
#[inline(always)]
fn each<const SLOPES: bool>(z: &mut [f32], h: &mut [f32], of: impl Fn(f32) -> (f32, f32)) {
    for (z, h) in z.iter_mut().zip(h) {
        let (value, slope) = of(*z);
        *h = value;
        if SLOPES {
            *z = slope;
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    const ALL: [Activation; 5] = [
        Activation::Relu,
        Activation::Gelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Elu,
    ];

    #[test]
    fn values_and_slopes_are_those_of_autograd() {
        let range: Vec<f32> = (-1_503..=1_503).map(|step| step as f32 * 0.01).collect();
        for activation in ALL {
            let x = Tensor::from_slice(&range).set_requires_grad(true);
            let oracle = activation.apply(&x * 1.0);
            let slopes = Tensor::run_backward(&[oracle.sum(Kind::Float)], &[&x], false, false).remove(0);
            let (mut z, mut h) = (range.clone(), vec![0.0; range.len()]);
            activation.with_slopes(&mut z, &mut h);
            let apart = |found: &[f32], oracle: &Tensor| {
                let apart = (Tensor::from_slice(found) - oracle).abs() / (oracle.abs() + 1.0);
                apart.max().double_value(&[])
            };
            assert!(apart(&h, &oracle) < 1e-6, "{activation:?}: {}", apart(&h, &oracle));
            assert!(apart(&z, &slopes) < 1e-6, "{activation:?}: {}", apart(&z, &slopes));
            let mut alone = vec![0.0; range.len()];
            activation.by_hand(&mut range.clone(), &mut alone);
            assert_eq!(alone, h, "{activation:?}: with and without slopes");
        }
    }

    #[test]
    fn wide_vectors_change_no_bit() {
        let range: Vec<f32> = (-2_000..2_003).map(|step| step as f32 * 0.007).collect();
        for activation in ALL {
            let (mut z, mut h) = (range.clone(), vec![0.0; range.len()]);
            let (mut plain_z, mut plain_h) = (z.clone(), h.clone());
            activation.with_slopes(&mut z, &mut h);
            activation.plain::<true>(&mut plain_z, &mut plain_h);
            assert_eq!((z, h), (plain_z, plain_h), "{activation:?}");
        }
    }

    #[test]
    fn far_from_zero_all_is_finite_and_what_is_not_a_number_stays_none() {
        for activation in ALL {
            let mut z = [-1e4, -200.0, 200.0, 1e4];
            let mut h = [0.0; 4];
            activation.with_slopes(&mut z, &mut h);
            assert!(
                z.iter().chain(&h).all(|number| number.is_finite()),
                "{activation:?}: {z:?} {h:?}"
            );
            let (mut z, mut h) = ([f32::NAN], [0.0]);
            activation.by_hand(&mut z, &mut h);
            assert!(h[0].is_nan(), "{activation:?}");
        }
    }
}
