//! Elementary functions of `f32` that the compiler can turn into vector code: [`exp`], [`ln_1p`], [`tanh`],
//! [`sigmoid`], [`softplus`], [`normal`].
//!
//! Those of the standard library are calls, one number at a time. These are plain arithmetic without branches and without
//! fused operations, so that a loop over them gives the same bits whatever vectors it is compiled for. What is not a
//! number stays none: a diverged network has to show.

/// Adding and subtracting it rounds to a whole number, for numbers below 2²².
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2²³

/// eˣ, to 2 units in the last place; below −87 it is that of −87, above 88 that of 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first with few digits, so that whole multiples of it are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let twos = shifted - ROUNDER;
    let rest = x - twos * LN_2_HIGH - twos * LN_2_LOW; // within ±½ ln 2
    // Taylor's series: the first term left out is below 10⁻⁸ of the result.
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

/// e^(−2|x|), of which [`tanh_of`] and the density of a squashed Gaussian are made.
#[inline(always)]
pub fn decay(x: f32) -> f32 {
    exp(-2.0 * x.abs())
}

/// tanh x, given [`decay`] of x.
#[inline(always)]
pub fn tanh_of(x: f32, decay: f32) -> f32 {
    let far = ((1.0 - decay) / (1.0 + decay)).copysign(x);
    // Near 0 that loses digits.
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

/// Φ(x), the part of a standard normal distribution below x, to 10⁻⁷, and far below zero to 10⁻⁵ of itself; and its
/// density there.
///
/// Above: Φ(−|x|) = ½ e^(−½x²) t P(t) with t = 1 / (1 + 0.35 z), z = |x| / √2, the form of Abramowitz and Stegun (7.1.26). P was
/// fitted anew, so that e^(z²) erfc(z) = t P(t) to 6·10⁻⁹ e^(z²) for z in [0, 6].
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    let half_square = 0.5 * x * x;
    // No further: products with what is smaller would be subnormal, which takes some processors a hundred times as long.
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
mod tests {
    use super::*;

    /// The largest error of `found` over x, in units of 2⁻²³ of what it should be, or of `least` where that is smaller.
    fn error(range: (f64, f64), least: f64, found: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        const COUNT: usize = 200_001;
        let (low, high) = range;
        let at = |index: usize| low + (high - low) * index as f64 / (COUNT - 1) as f64;
        let worst = (0..COUNT).map(|index| {
            let x = at(index) as f32;
            let exact = exact(f64::from(x));
            (f64::from(found(x)) - exact).abs() / exact.abs().max(least) / f64::from(f32::EPSILON)
        });
        worst.fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_those_of_the_standard_library_to_a_few_units_in_the_last_place() {
        let errors = [
            error((-87.0, 88.0), 0.0, exp, f64::exp),
            error((0.0, 1.0), 0.0, ln_1p, f64::ln_1p),
            error((-12.0, 12.0), 0.0, tanh, f64::tanh),
            error((-0.3, 0.3), 0.0, tanh, f64::tanh),
            error((-80.0, 80.0), 0.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            error((-80.0, 80.0), 0.0, softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        ];
        assert!(errors.iter().all(|error| *error < 4.0), "{errors:?}");
    }

    #[test]
    fn the_normal_distribution_has_its_values_far_out_too() {
        // ½ erfc(z), from tables.
        for (x, below) in [
            (0.0f32, 0.5f64),
            (1.0, 0.841_344_746_068_543),
            (-1.0, 0.158_655_253_931_457),
            (-2.0, 0.022_750_131_948_179_2),
            (-3.0, 0.001_349_898_031_630_09),
            (-5.0, 2.866_515_718_791_94e-7),
        ] {
            let (found, density) = normal(x);
            let exact = (-0.5 * f64::from(x).powi(2)).exp() / std::f64::consts::TAU.sqrt();
            assert!(
                (f64::from(found) - below).abs() < (1e-5 * below).min(1.2e-7),
                "{x}: {found}"
            );
            assert!((f64::from(density) / exact - 1.0).abs() < 1e-6, "{x}: {density}");
        }
    }

    #[test]
    fn ends_are_finite_and_what_is_not_a_number_stays_none() {
        for x in [-1e30, -200.0, 200.0, 1e30, f32::INFINITY, f32::NEG_INFINITY] {
            assert!([exp(x), tanh(x), sigmoid(x)].iter().all(|y| y.is_finite()), "{x}");
        }
        assert_eq!(
            [tanh(-50.0), tanh(50.0), softplus(200.0), softplus(-200.0)].map(|y| y + 0.0),
            [-1.0, 1.0, 200.0, softplus(-87.0)]
        );
        assert!([exp, tanh, sigmoid, softplus].iter().all(|f| f(f32::NAN).is_nan()));
    }
}
