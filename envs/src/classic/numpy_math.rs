//! Elementary functions with the rounding of Python's and NumPy's.

use std::hint::black_box;

/// x² as Python's `x ** 2` computes it: by the C library's `pow`, which differs from `x * x` in the last bit for about
/// one number in a thousand.
///
/// For numbers of common size, `pow` computes x² with an error of less than a hundredth of a unit in the last place and
/// rounds the result once (glibc's e_pow.c). If x² is farther than that from the midpoint between two adjacent
/// floating-point numbers, both methods round to the same one, so that the faster product can be used.
pub(super) fn pow_2(x: f64) -> f64 {
    const MARGIN: u64 = u64::MAX / 64;
    if !(1e-6..1e6).contains(&x.abs()) {
        return slow_pow_2(x);
    }
    let significand = x.to_bits() << 11 | 1 << 63;
    let square = ((u128::from(significand) * u128::from(significand)) >> 64) as u64;
    // The result keeps 53 bits from the leading one on; the others decide the rounding.
    if is_near_the_middle(square << (53 + square.leading_zeros()), MARGIN) {
        slow_pow_2(x)
    } else {
        x * x
    }
}

/// [`pow_2`] in single precision. `powf` is as accurate for x within six powers of two of 1.
pub(super) fn pow_2_f32(x: f32) -> f32 {
    const MARGIN: u64 = u64::MAX / 32;
    const DROPPED_BITS: u32 = f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS;
    let square = f64::from(x) * f64::from(x); // exact
    if (1.0 / 64.0..64.0).contains(&x.abs()) && !is_near_the_middle(square.to_bits() << (64 - DROPPED_BITS), MARGIN) {
        square as f32
    } else {
        slow_pow_2_f32(x)
    }
}

/// Whether a fraction is within a margin of one half, both in units of 2⁻⁶⁴.
fn is_near_the_middle(fraction: u64, margin: u64) -> bool {
    fraction.abs_diff(1 << 63) <= margin
}

/// The C library's `pow`. `black_box` keeps the compiler from replacing it by `x * x`.
#[cold]
fn slow_pow_2(x: f64) -> f64 {
    x.powf(black_box(2.0))
}

#[cold]
fn slow_pow_2_f32(x: f32) -> f32 {
    x.powf(black_box(2.0))
}

/// Coefficients of NumPy's single-precision polynomials as bits, highest power first.
const SIN: [u32; 4] = [0x363e_9dde, 0xb950_35dd, 0x3c08_88cd, 0xbe2a_aaab];
const COS: [u32; 5] = [0x37cc_730b, 0xbab6_036e, 0x3d2a_aa9e, 0xbf00_0000, 0x3f80_0000];

/// Sine of an angle below π/4 as NumPy computes it for `float32` on processors with fused multiply-add.
pub(super) fn sin_f32(angle_rad: f32) -> f32 {
    let square = angle_rad * angle_rad;
    let series = polynomial(&SIN, square) * square;
    series.mul_add(angle_rad, angle_rad)
}

/// Cosine of an angle below π/4 as NumPy computes it for `float32` on processors with fused multiply-add.
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
    use crate::NumpyRng;

    #[test]
    fn the_fast_square_equals_the_c_librarys_bit_for_bit() {
        let mut rng = NumpyRng::new(0);
        let mut differs_from_the_product = 0;
        for _ in 0..2_000_000 {
            // Numbers of all sizes, and of the sizes that occur in tasks.
            let small = rng.uniform(-10.0, 10.0);
            let any = rng.uniform(1.0, 2.0) * 2.0_f64.powi(rng.integers(2000) as i32 - 1000);
            for x in [small, any] {
                assert_eq!(pow_2(x).to_bits(), slow_pow_2(x).to_bits(), "{x}");
                differs_from_the_product += u32::from(slow_pow_2(x) != x * x);
            }
            for x in [small as f32, (small * 1e-4) as f32, any as f32] {
                assert_eq!(pow_2_f32(x).to_bits(), slow_pow_2_f32(x).to_bits(), "{x}");
            }
        }
        for x in [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            1.0,
            -2.0,
            f64::MAX,
        ] {
            assert_eq!(pow_2(x).to_bits(), slow_pow_2(x).to_bits(), "{x}");
            assert_eq!(pow_2_f32(x as f32).to_bits(), slow_pow_2_f32(x as f32).to_bits(), "{x}");
        }
        assert!(pow_2(f64::NAN).is_nan() && pow_2_f32(f32::NAN).is_nan());
        assert!(
            differs_from_the_product > 0,
            "the product always equals the C library's square, so the comparison shows nothing"
        );
    }

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
