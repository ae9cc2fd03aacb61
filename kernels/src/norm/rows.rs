//! Normalisation of rows: [`RowNorm`].

use super::{at_least, check_rows, floor};
use crate::widest;

/// Layer normalisation, y = (x − μ)/√(σ² + ε) · γ + β with mean and variance of each row, or RMS normalisation,
/// y = x/√(mean x² + ε) · γ.
///
/// ```text
/// h = g·γ:   g_x = (h − mean h − x̂ · mean(h·x̂)) / s,   x̂ = (x − μ)/s          without "− mean h" for RMS
/// g_γ = Σ_B g·x̂,   g_β = Σ_B g
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RowNorm<'a> {
    /// γ, `[n]`.
    pub gain: &'a [f32],
    /// β, `[n]`; `None` for RMS normalisation.
    pub shift: Option<&'a [f32]>,
    /// ε.
    pub eps: f32,
}

/// μ and 1/s of a row.
pub type RowMoments = (f32, f32);

impl RowNorm<'_> {
    /// Writes the normalised rows of `x` `[B, n]` to `y`, with a ReLU after it if `relu`, and their moments.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(self, x: &[f32], relu: bool, y: &mut [f32], moments: &mut [RowMoments]) {
        self.check(x.len(), y.len(), moments.len());
        let (width, floor) = (self.gain.len(), floor(relu));
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(moments);
        widest(
            #[inline(always)]
            || {
                for ((x, y), moments) in rows {
                    *moments = self.moments(x);
                    match self.shift {
                        Some(shift) => write_shifted(x, *moments, self.gain, shift, floor, y),
                        None => write_scaled(x, *moments, self.gain, floor, y),
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn moments(self, x: &[f32]) -> RowMoments {
        let share = 1.0 / x.len() as f32;
        let mean = match self.shift {
            Some(_) => share * sum(x, x, |x, _| x),
            None => 0.0,
        };
        let variance = share * sum(x, x, |x, _| (x - mean) * (x - mean));
        (mean, 1.0 / (variance + self.eps).sqrt())
    }

    /// Replaces the gradient `g` `[B, n]` with respect to the outputs by that with respect to `x`. Writes the gradients
    /// of gain and shift to `of_gain` and `of_shift`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(
        self,
        x: &[f32],
        moments: &[RowMoments],
        g: &mut [f32],
        of_gain: &mut [f32],
        of_shift: Option<&mut [f32]>,
    ) {
        self.check(x.len(), g.len(), moments.len());
        let width = self.gain.len();
        assert_eq!(of_gain.len(), width, "a gain has a gradient");
        let rows = x.chunks_exact(width).zip(g.chunks_exact_mut(width)).zip(moments);
        let mut of_shift = of_shift;
        of_gain.fill(0.0);
        if let Some(of_shift) = of_shift.as_deref_mut() {
            of_shift.fill(0.0);
        }
        widest(
            #[inline(always)]
            || {
                for ((x, g), moments) in rows {
                    if let Some(of_shift) = of_shift.as_deref_mut() {
                        of_shift.iter_mut().zip(&*g).for_each(|(sum, g)| *sum += g);
                    }
                    backward_row(x, *moments, self.gain, self.shift.is_some(), g, of_gain);
                }
            },
        );
    }

    fn check(self, x: usize, y: usize, moments: usize) {
        let width = self.gain.len();
        check_rows(x, width);
        assert_eq!([y, moments], [x, x / width], "each row has an output and moments");
        assert!(
            self.shift.is_none_or(|shift| shift.len() == width),
            "a unit has a gain and a shift"
        );
    }
}

#[inline(always)]
fn write_shifted(x: &[f32], (mean, inverse): RowMoments, gain: &[f32], shift: &[f32], floor: f32, y: &mut [f32]) {
    for (((y, x), gain), shift) in y.iter_mut().zip(x).zip(gain).zip(shift) {
        *y = at_least(floor, (x - mean) * inverse * gain + shift);
    }
}

#[inline(always)]
fn write_scaled(x: &[f32], (_, inverse): RowMoments, gain: &[f32], floor: f32, y: &mut [f32]) {
    for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
        *y = at_least(floor, x * inverse * gain);
    }
}

#[inline(always)]
fn backward_row(
    x: &[f32],
    (mean, inverse): RowMoments,
    gain: &[f32],
    centred: bool,
    g: &mut [f32],
    of_gain: &mut [f32],
) {
    for (((g, x), gain), of_gain) in g.iter_mut().zip(x).zip(gain).zip(of_gain) {
        *of_gain += *g * ((x - mean) * inverse);
        *g *= gain;
    }
    let share = 1.0 / x.len() as f32;
    let offset = match centred {
        true => share * sum(g, g, |h, _| h),
        false => 0.0,
    };
    let slope = share * sum(g, x, |h, x| h * (x - mean)) * inverse * inverse;
    for (g, x) in g.iter_mut().zip(x) {
        *g = inverse * (*g - offset - slope * (x - mean));
    }
}

/// The sum of `of(a, b)`, in sixteen interleaved sums, so that the compiler can use vectors.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(a, b)| of(*a, *b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += of(*a, *b);
        }
    }
    sums.iter().sum::<f32>() + rest
}
