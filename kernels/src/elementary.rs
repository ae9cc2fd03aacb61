//! Elementary functions of `f32` that the compiler can turn into vector code: [`exp`], [`ln_1p`], [`tanh`],
//! [`sigmoid`], [`softplus`], [`normal`].
//!
//! The standard library computes one value per call. These functions are plain arithmetic without branches and fused
//! operations: a loop over them uses vectors, and gives the same bits whatever their width. NaN stays NaN, so that a
//! network that has diverged is noticed.
//!
//! Their relative error is below 4·2⁻²³, but for [`normal`], which says its own.

/// Adding and then subtracting this rounds a number below 2²² to an integer.
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2²³

/// eˣ, with x clamped to [−87, 88].
///
/// Below −87 the exact value is subnormal or nearly so, above 88 it nearly overflows.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // ln 2 in two parts. The first has so few digits that its integer multiples here are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let powers = shifted - ROUNDER;
    let rest = x - powers * LN_2_HIGH - powers * LN_2_LOW; // within ±½ ln 2
    // The Taylor series, up to degree 7: the next term is below 10⁻⁸ of the result.
    let mut series = 1.0 / 5_040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * rest + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(exponent)
}

/// ln(1 + x) for x in [0, 1].
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    // ln(1 + x) = 2 artanh(x / (2 + x)), whose argument is at most a third.
    let s = x / (2.0 + x);
    let square = s * s;
    let mut series = 2.0 / 15.0;
    for coefficient in [2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        series = series * square + coefficient;
    }
    series * s
}

/// e^(−2|x|), which [`tanh_of`] and the log-density of a squashed Gaussian share.
#[inline(always)]
pub fn decay(x: f32) -> f32 {
    exp(-2.0 * x.abs())
}

/// tanh x, given [`decay`] of x.
#[inline(always)]
pub fn tanh_of(x: f32, decay: f32) -> f32 {
    let far = ((1.0 - decay) / (1.0 + decay)).copysign(x);
    // Near 0 that quotient loses digits, and the Taylor series is exact enough.
    let square = x * x;
    let mut series = 62.0 / 2_835.0;
    for coefficient in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = series * square + coefficient;
    }
    if square < 0.05 { series * x } else { far }
}

/// tanh x.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    tanh_of(x, decay(x))
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let above = 1.0 / (1.0 + small);
    if x < 0.0 { small * above } else { above }
}

/// ln(1 + eˣ).
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let ramp = if x < 0.0 { 0.0 } else { x };
    ramp + ln_1p(exp(-x.abs()))
}

/// The distribution function Φ(x) of the standard normal distribution, and its density.
///
/// Φ is within 3·10⁻⁷ of the exact value, and within a relative 10⁻⁵ of it for x in [−8, 0]; so is the density for
/// |x| up to 12.
///
/// Φ(−|x|) = ½ e^(−½x²) t P(t) with t = 1 / (1 + 0.35 z) and z = |x| / √2: the form of Abramowitz and Stegun, 7.1.26,
/// with a polynomial P of higher degree, fitted so that e^(z²) erfc(z) = t P(t) to 6·10⁻⁹ e^(z²) for z in [0, 6].
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    let half_square = 0.5 * x * x;
    // Clamped: products with a smaller number would be subnormal, and take some processors a hundred times as long.
    let bell = exp(if half_square > 80.0 { -80.0 } else { -half_square });
    let t = 1.0 / (1.0 + 0.35 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut series = -0.198_422_76;
    for coefficient in [
        0.774_867_8,
        -0.686_437_54,
        0.691_621_65,
        -0.013_250_406,
        0.237_523_2,
        0.194_098_06,
    ] {
        series = series * t + coefficient;
    }
    let tail = 0.5 * bell * t * series;
    (if x < 0.0 { tail } else { 1.0 - tail }, FRAC_1_SQRT_TAU * bell)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Φ(x) in `f64`. Near 0, ½ + φ(x) Σ x^(2n+1) / (1·3·5 ⋯ (2n+1)), whose terms have one sign; in the tails the
    /// continued fraction of Laplace, φ(x) / (x + 1 / (x + 2 / (x + …))), which has no cancellation.
    pub(crate) fn normal_cdf(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / TAU.sqrt();
        let below = if x.abs() < 3.0 {
            let (mut term, mut sum) = (x.abs(), 0.0);
            for n in 1..100 {
                sum += term;
                term *= x * x / f64::from(2 * n + 1);
            }
            0.5 - density * sum
        } else {
            density / (1..200).rev().fold(x.abs(), |rest, n| x.abs() + f64::from(n) / rest)
        };
        if x < 0.0 { below } else { 1.0 - below }
    }

    /// `count` numbers from the first to the last of a range.
    fn grid(range: (f64, f64), count: usize) -> impl Iterator<Item = f32> {
        let (low, high) = range;
        (0..count).map(move |index| (low + (high - low) * index as f64 / (count - 1) as f64) as f32)
    }

    /// The largest relative error of `found` in a range.
    fn error(range: (f64, f64), found: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let errors = grid(range, 50_001).map(|x| {
            let exact = exact(f64::from(x));
            if exact == 0.0 {
                f64::from(found(x)).abs()
            } else {
                (f64::from(found(x)) / exact - 1.0).abs()
            }
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_those_of_the_standard_library_to_a_few_units_in_the_last_place() {
        let errors = [
            error((-87.0, 88.0), exp, f64::exp),
            error((0.0, 1.0), ln_1p, f64::ln_1p),
            error((-43.0, 43.0), decay, |x| (-2.0 * x.abs()).exp()),
            error((-12.0, 12.0), tanh, f64::tanh),
            error((-0.3, 0.3), tanh, f64::tanh),
            error((-1e-30, 1e-30), tanh, f64::tanh),
            error((-80.0, 80.0), sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            error((-80.0, 80.0), softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        ];
        let bound = 4.0 * f64::from(f32::EPSILON);
        assert!(errors.iter().all(|error| *error < bound), "{errors:?}");
    }

    #[test]
    fn the_oracle_of_the_normal_distribution_agrees_with_tables() {
        for (x, below) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-2.0, 0.022_750_131_948_179_2),
            (-3.0, 0.001_349_898_031_630_09),
            (-5.0, 2.866_515_718_791_94e-7),
        ] {
            assert!((normal_cdf(x) / below - 1.0).abs() < 1e-12, "{x}: {}", normal_cdf(x));
        }
    }

    #[test]
    fn the_normal_distribution_has_the_stated_errors() {
        let density = |x: f64| (-0.5 * x * x).exp() / TAU.sqrt();
        let errors = grid((-12.0, 12.0), 50_001).map(|x| (f64::from(normal(x).0) - normal_cdf(f64::from(x))).abs());
        let largest = errors.fold(0.0, f64::max);
        assert!(largest < 3e-7, "{largest}");
        let errors = [
            error((-8.0, 0.0), |x| normal(x).0, normal_cdf),
            error((-12.0, 12.0), |x| normal(x).1, density),
        ];
        assert!(errors.iter().all(|error| *error < 1e-5), "{errors:?}");
    }

    #[test]
    fn results_far_from_zero_are_finite_and_nan_stays_nan() {
        for x in [-1e30, -200.0, 200.0, 1e30, f32::INFINITY, f32::NEG_INFINITY] {
            let (below, density) = normal(x);
            let found = [exp(x), decay(x), tanh(x), sigmoid(x), below, density];
            assert!(found.iter().all(|y| y.is_finite()), "{x}: {found:?}");
        }
        assert_eq!(
            [tanh(-50.0), tanh(50.0), softplus(200.0), softplus(-200.0)],
            [-1.0, 1.0, 200.0, softplus(-87.0)]
        );
        let functions = [
            exp,
            ln_1p,
            decay,
            tanh,
            sigmoid,
            softplus,
            |x| normal(x).0,
            |x| normal(x).1,
        ];
        assert!(functions.iter().all(|f| f(f32::NAN).is_nan()));
    }

    #[test]
    fn subnormal_inputs_are_as_good_as_zero() {
        for x in [f32::from_bits(1), -f32::from_bits(1), 1e-40, -1e-40] {
            assert_eq!([exp(x), sigmoid(x), tanh(x), softplus(x)], [1.0, 0.5, x, softplus(0.0)]);
            assert_eq!(normal(x.abs()), normal(0.0));
        }
    }
}
