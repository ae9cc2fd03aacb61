//! Low-pass kernels along one axis: [`KernelSpec`].
//!
//! Gaussian, binomial and boxcar are probability densities whose standard deviation is one bandwidth. The windowed sinc
//! has a flat pass band but negative weights; its bandwidth is the distance between taps.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The shape of a kernel. Default: Gaussian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KernelSpec {
    /// Normal density.
    #[default]
    Gaussian,
    /// Row `taps − 1` of Pascal's triangle, normalised: `[1 2 1]/4` for three taps.
    Binomial {
        /// Number of taps, odd, so that one of them is at the action itself.
        taps: i64,
    },
    /// Uniform density.
    Boxcar,
    /// The ideal low-pass filter, truncated by a window. The filtered backup is a contraction only if γ·‖w‖₁ < 1.
    Sinc {
        /// Number of taps on each side.
        half_length: i64,
        /// Cut-off frequency, cycles per tap, in (0, ½].
        cutoff: f64,
        /// The window.
        window: Window,
    },
}

/// The window of a windowed sinc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// 1: no window.
    Rect,
    /// ½ + ½ cos x.
    Hann,
    /// 0.54 + 0.46 cos x.
    Hamming,
    /// 0.42 + ½ cos x + 0.08 cos 2x.
    Blackman,
    /// The main lobe of a wider sinc.
    Lanczos,
}

impl Window {
    /// Weight of tap `k` in `−half_length..=half_length`. Windows other than Hamming and the rectangle reach 0 one tap
    /// after the last, so that every tap contributes; Hamming ends at 0.08.
    fn weight(self, k: f64, half_length: f64) -> f64 {
        let beyond = k / (half_length + 1.0);
        match self {
            Window::Rect => 1.0,
            Window::Hann => 0.5 + 0.5 * (PI * beyond).cos(),
            Window::Hamming => 0.54 + 0.46 * (PI * k / half_length).cos(),
            Window::Blackman => 0.42 + 0.5 * (PI * beyond).cos() + 0.08 * (2.0 * PI * beyond).cos(),
            Window::Lanczos => sinc(beyond),
        }
    }
}

/// The normalised sinc function sin(πx)/(πx).
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// A weighted point of a kernel along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// Distance from the action, in bandwidths.
    pub offset: f64,
    /// Weight; the weights of a kernel sum to 1.
    pub weight: f64,
}

impl KernelSpec {
    /// The kernel along one axis as an odd number of weighted points; the middle one is at 0.
    ///
    /// Binomial and sinc kernels consist of such points. Gaussian and boxcar are replaced by three-point quadrature
    /// rules, Gauss–Hermite and Gauss–Legendre, which are exact for polynomials up to degree five.
    pub fn taps(self) -> Vec<Tap> {
        let three = |reach: f64, outer: f64| {
            let tap = |offset, weight| Tap { offset, weight };
            vec![tap(-reach, outer), tap(0.0, 1.0 - 2.0 * outer), tap(reach, outer)]
        };
        match self {
            KernelSpec::Gaussian => three(3f64.sqrt(), 1.0 / 6.0),
            KernelSpec::Boxcar => three(3.0 / 5f64.sqrt(), 5.0 / 18.0),
            KernelSpec::Binomial { taps } => {
                let spacing = binomial_spacing(taps);
                let mut weight = 0.5f64.powi((taps - 1) as i32);
                (0..taps)
                    .map(|k| {
                        let tap = Tap {
                            offset: spacing * (k as f64 - (taps - 1) as f64 / 2.0),
                            weight,
                        };
                        weight *= (taps - 1 - k) as f64 / (k + 1) as f64;
                        tap
                    })
                    .collect()
            }
            KernelSpec::Sinc {
                half_length,
                cutoff,
                window,
            } => {
                let raw = |k: f64| sinc(2.0 * cutoff * k) * window.weight(k, half_length as f64);
                let offsets = (-half_length..=half_length).map(|k| k as f64);
                let sum: f64 = offsets.clone().map(raw).sum();
                offsets
                    .map(|offset| Tap {
                        offset,
                        weight: raw(offset) / sum,
                    })
                    .collect()
            }
        }
    }

    /// ‖w‖₁ of [`KernelSpec::taps`]; 1 if no weight is negative. The filtered backup contracts with the factor γ·‖w‖₁.
    pub fn l1_norm(self) -> f64 {
        self.taps().iter().map(|tap| tap.weight.abs()).sum()
    }

    /// The frequency response H(ω): the factor by which the kernel attenuates the mode e^{iω·x}. `omega` is in radians
    /// per bandwidth.
    pub fn attenuation(self, omega: f64) -> f64 {
        match self {
            KernelSpec::Gaussian => (-0.5 * omega * omega).exp(),
            KernelSpec::Boxcar => sinc(3f64.sqrt() * omega / PI),
            KernelSpec::Binomial { taps } => (0.5 * binomial_spacing(taps) * omega).cos().powi((taps - 1) as i32),
            KernelSpec::Sinc { .. } => {
                let cosines = self
                    .taps()
                    .into_iter()
                    .map(|tap| tap.weight * (omega * tap.offset).cos());
                cosines.sum()
            }
        }
    }

    /// Whether the kernel's standard deviation is one bandwidth.
    pub(super) fn has_unit_variance(self) -> bool {
        !matches!(self, KernelSpec::Sinc { .. })
    }
}

/// Distance between neighbouring taps, standard deviations. The variance of n taps with spacing 1 is (n − 1)/4.
fn binomial_spacing(taps: i64) -> f64 {
    2.0 / ((taps - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sinc_kernel(half_length: i64, cutoff: f64, window: Window) -> KernelSpec {
        KernelSpec::Sinc {
            half_length,
            cutoff,
            window,
        }
    }

    const DENSITIES: [KernelSpec; 5] = [
        KernelSpec::Gaussian,
        KernelSpec::Boxcar,
        KernelSpec::Binomial { taps: 3 },
        KernelSpec::Binomial { taps: 5 },
        KernelSpec::Binomial { taps: 7 },
    ];

    #[test]
    fn weights_sum_to_one_and_densities_have_unit_variance() {
        for kernel in DENSITIES.into_iter().chain([sinc_kernel(6, 0.2, Window::Blackman)]) {
            let sum: f64 = kernel.taps().iter().map(|tap| tap.weight).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{kernel:?}: {sum}");
        }
        for kernel in DENSITIES {
            let variance: f64 = kernel.taps().iter().map(|tap| tap.weight * tap.offset.powi(2)).sum();
            assert!((variance - 1.0).abs() < 1e-12, "{kernel:?}: {variance}");
            assert!(
                (kernel.l1_norm() - 1.0).abs() < 1e-12,
                "{kernel:?} has no negative weight"
            );
        }
    }

    #[test]
    fn binomials_attenuate_by_powers_of_the_cosine() {
        for (taps, at_half_pi) in [(3, 0.5), (5, 0.25), (7, 0.125)] {
            let kernel = KernelSpec::Binomial { taps };
            let per_tap = 1.0 / binomial_spacing(taps); // radians per tap to radians per bandwidth
            assert!((kernel.attenuation(PI / 2.0 * per_tap) - at_half_pi).abs() < 1e-12);
            assert!(kernel.attenuation(PI * per_tap).abs() < 1e-12);
        }
    }

    /// The norm exceeds 1 where the sinc's negative lobes lie within the taps.
    #[test]
    fn norms_of_windowed_sincs_equal_those_computed_by_hand() {
        use Window::{Blackman, Hamming, Hann, Lanczos, Rect};
        for window in [Rect, Hann, Hamming, Blackman, Lanczos] {
            for (half_length, cutoff) in [(1, 0.25), (2, 0.25), (4, 0.125)] {
                let norm = sinc_kernel(half_length, cutoff, window).l1_norm();
                assert!((norm - 1.0).abs() < 1e-12, "{window:?} {half_length}: {norm}");
            }
        }
        let table = [
            (3, 0.25, Rect, 1.46),
            (3, 0.25, Hann, 1.06),
            (3, 0.25, Hamming, 1.035),
            (3, 0.25, Blackman, 1.03),
            (3, 0.25, Lanczos, 1.13),
            (6, 0.25, Rect, 1.40),
            (6, 0.25, Hann, 1.26),
            (6, 0.25, Blackman, 1.195),
            (6, 0.125, Hann, 1.04),
            (6, 0.125, Blackman, 1.02),
            (6, 0.125, Lanczos, 1.095),
        ];
        for (half_length, cutoff, window, expected) in table {
            let norm = sinc_kernel(half_length, cutoff, window).l1_norm();
            assert!(
                (norm - expected).abs() < 6e-3,
                "{window:?}, {half_length} taps at {cutoff}: {norm}, expected {expected}"
            );
        }
    }
}
