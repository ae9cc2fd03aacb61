//! Elementary functions that round as Python's and NumPy's do.

use std::hint::black_box;

/// x² as Python's `x ** 2` computes it: by the C library's `pow`, which differs from `x * x` in the last bit for about
/// one number in a thousand. The exponent is hidden from the optimiser, which would write `x * x` instead.
pub(super) fn pow_2(x: f64) -> f64 {
    x.powf(black_box(2.0))
}

/// [`pow_2`] in single precision.
pub(super) fn pow_2_f32(x: f32) -> f32 {
    x.powf(black_box(2.0))
}

/// Coefficients of NumPy's single-precision polynomials, highest power first, as bits.
const SIN: [u32; 4] = [0x363e_9dde, 0xb950_35dd, 0x3c08_88cd, 0xbe2a_aaab];
const COS: [u32; 5] = [0x37cc_730b, 0xbab6_036e, 0x3d2a_aa9e, 0xbf00_0000, 0x3f80_0000];

/// Sine of an angle below π/4 as NumPy computes it for `float32` on processors with fused multiplication and addition.
pub(super) fn sin_f32(angle_rad: f32) -> f32 {
    let square = angle_rad * angle_rad;
    let series = polynomial(&SIN, square) * square;
    series.mul_add(angle_rad, angle_rad)
}

/// Cosine of an angle below π/4 as NumPy computes it for `float32` on processors with fused multiplication and addition.
pub(super) fn cos_f32(angle_rad: f32) -> f32 {
    polynomial(&COS, angle_rad * angle_rad)
}

fn polynomial(coefficients: &[u32], x: f32) -> f32 {
    coefficients
        .iter()
        .map(|bits| f32::from_bits(*bits))
        .reduce(|sum, coefficient| sum.mul_add(x, coefficient))
        .expect("there is at least one coefficient")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomials_stay_within_two_units_in_the_last_place() {
        for i in -785..=785 {
            let angle = i as f32 * 1e-3;
            let close = |ours: f32, exact: f64| (f64::from(ours) - exact).abs() <= 2.0 * f64::from(f32::EPSILON / 2.0);
            assert!(close(sin_f32(angle), f64::from(angle).sin()), "sin {angle}");
            assert!(close(cos_f32(angle), f64::from(angle).cos()), "cos {angle}");
        }
    }
}
