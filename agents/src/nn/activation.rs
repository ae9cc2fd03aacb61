//! Activation functions through libtorch, with autograd: [`apply`].

use sac_kernels::Activation;
use tch::Tensor;

/// φ(x). Overwrites x if libtorch has an in-place version.
pub(super) fn apply(activation: Activation, x: Tensor) -> Tensor {
    let mut x = x;
    match activation {
        Activation::Relu => x.relu_(),
        Activation::Gelu => x.gelu("none"),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh_(),
        Activation::Elu => x.elu(),
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn values_and_derivatives_of_slices_equal_those_of_autograd() {
        let range: Vec<f32> = (-1_503..=1_503).map(|step| step as f32 * 0.01).collect();
        for activation in [
            Activation::Relu,
            Activation::Gelu,
            Activation::Silu,
            Activation::Tanh,
            Activation::Elu,
        ] {
            let x = Tensor::from_slice(&range).set_requires_grad(true);
            let expected = apply(activation, &x * 1.0);
            let derivatives = Tensor::run_backward(&[expected.sum(Kind::Float)], &[&x], false, false).remove(0);
            let (mut z, mut h) = (range.clone(), vec![0.0; range.len()]);
            activation.apply_with_derivative(&mut z, &mut h);
            let error = |actual: &[f32], expected: &Tensor| {
                let error = (Tensor::from_slice(actual) - expected).abs() / (expected.abs() + 1.0);
                error.max().double_value(&[])
            };
            assert!(error(&h, &expected) < 1e-6, "{activation:?}");
            assert!(error(&z, &derivatives) < 1e-6, "{activation:?}");
        }
    }
}
