//! Peaks and quantiles of Fourier densities, in double precision, as `sac_agents::policy::fourier` defines them.
//!
//! A grid brackets the root that is looked for, and Newton's method with bisection finds it.

use std::f64::consts::PI;

use super::input::Input;
use crate::op::Fourier;

/// Added to the power c_0.
const POWER_EPS: f64 = 1e-6;
const NEWTON_STEPS: usize = 8;
/// Margin of a bracket beyond its cell.
const ROUNDING: f64 = 1e-9;
/// Number of the grid's highest peaks that are refined.
const PEAKS: usize = 8;

/// The density of one coordinate: `½ + Σ_k cosine_k cos(πkz) − sine_k sin(πkz)`.
struct Series {
    cosine: Vec<f64>,
    sine: Vec<f64>,
}

impl Series {
    /// The weights w_k for k from 1 on, in single precision as the amplitudes are.
    fn new(settings: Fourier, inputs: &[f32]) -> Self {
        let count = settings.frequencies + 1;
        let (re, im) = inputs.split_at(count);
        let mut re = re.to_vec();
        re[0] += settings.base_amplitude as f32;
        let correlation = |shift: usize| {
            let pairs = (0..count - shift).map(|l| (l, l + shift));
            let real: f32 = pairs.clone().map(|(l, m)| re[l] * re[m] + im[l] * im[m]).sum();
            let imaginary: f32 = pairs.map(|(l, m)| re[l] * im[m] - im[l] * re[m]).sum();
            (real, imaginary)
        };
        let scale = (1.0 - settings.uniform_share) as f32 / (correlation(0).0 + POWER_EPS as f32);
        let (cosine, sine) = (1..count)
            .map(correlation)
            .map(|(real, imaginary)| (f64::from(real * scale), f64::from(imaginary * scale)))
            .unzip();
        Series { cosine, sine }
    }

    /// Σ of `term(ω_k, cosine_k, sine_k, sin(ω_k z), cos(ω_k z))` over k.
    fn sum(&self, z: f64, term: impl Fn(f64, f64, f64, f64, f64) -> f64) -> f64 {
        let mut total = 0.0;
        // Angles by Chebyshev's recurrence would lose digits, so each is computed.
        for (index, (cosine, sine)) in self.cosine.iter().zip(&self.sine).enumerate() {
            let wave = (index + 1) as f64 * PI;
            let (sin, cos) = (wave * z).sin_cos();
            total += term(wave, *cosine, *sine, sin, cos);
        }
        total
    }

    fn density(&self, z: f64) -> f64 {
        0.5 + self.sum(z, |_, a, b, sin, cos| a * cos - b * sin)
    }

    /// The distribution function F.
    fn cumulative(&self, z: f64) -> f64 {
        let at_start = |wave: f64| if (wave / PI).round() as i64 % 2 == 0 { 1.0 } else { -1.0 };
        let terms = |wave: f64, a: f64, b: f64, sin: f64, cos: f64| (a * sin + b * (cos - at_start(wave))) / wave;
        (z + 1.0) * 0.5 + self.sum(z, terms)
    }

    /// −p' and −p''.
    fn descent(&self, z: f64) -> (f64, f64) {
        let slope = self.sum(z, |wave, a, b, sin, cos| (a * sin + b * cos) * wave);
        let curvature = self.sum(z, |wave, a, b, sin, cos| (a * cos - b * sin) * wave * wave);
        (slope, curvature)
    }
}

/// The root of an increasing function within a bracket. `at` gives the function and its derivative.
fn root(start: f64, (mut low, mut high): (f64, f64), at: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut point = start;
    for _ in 0..NEWTON_STEPS {
        let (value, derivative) = at(point);
        if value < 0.0 {
            low = point;
        } else {
            high = point;
        }
        let next = point - value / derivative;
        // Also false if the derivative is 0 and the step is NaN.
        point = if next >= low && next <= high {
            next
        } else {
            (low + high) * 0.5
        };
    }
    point
}

fn peak(series: &Series, cells: usize) -> f64 {
    let width = 2.0 / cells as f64;
    let start = |cell: usize| cell as f64 * width - 1.0;
    let grid: Vec<f64> = (0..cells).map(|cell| series.density(start(cell))).collect();
    let is_peak =
        |cell: usize| grid[cell] >= grid[(cell + cells - 1) % cells] && grid[cell] >= grid[(cell + 1) % cells];
    let mut peaks: Vec<usize> = (0..cells).filter(|cell| is_peak(*cell)).collect();
    peaks.sort_by(|a, b| grid[*b].total_cmp(&grid[*a]));
    let mut best = (f64::NEG_INFINITY, 0.0);
    for cell in peaks.into_iter().take(PEAKS) {
        let start = start(cell);
        let found = root(start, (start - width, start + width), |z| series.descent(z));
        let density = series.density(found);
        if density > best.0 {
            best = (density, found);
        }
    }
    // The period is 2, so actions below −1 wrap around to the other end.
    if best.1 >= -1.0 { best.1 } else { best.1 + 2.0 }
}

fn quantile(series: &Series, cells: usize, uniform: f64) -> f64 {
    let width = 2.0 / cells as f64;
    let border = |cell: usize| cell as f64 * width - 1.0;
    let is_below = |border_of: &usize| series.cumulative(border(*border_of)) <= uniform;
    let cell = (1..cells).filter(is_below).count();
    let (below, above) = (series.cumulative(border(cell)), series.cumulative(border(cell + 1)));
    let share = ((uniform - below) / (above - below)).clamp(0.0, 1.0);
    // Rounding may put a root at the border of a cell on the other side of it.
    let bracket = (border(cell) - ROUNDING, border(cell + 1) + ROUNDING);
    let found = root(border(cell) + share * width, bracket, |z| {
        (series.cumulative(z) - uniform, series.density(z))
    });
    found.clamp(-1.0, 1.0)
}

pub fn peaks(settings: Fourier, x: Input, out: &mut [f32]) {
    for (inputs, out) in x.data.chunks_exact(settings.inputs()).zip(out) {
        *out = peak(&Series::new(settings, inputs), settings.cells()) as f32;
    }
}

pub fn quantiles(settings: Fourier, x: Input, uniform: Input, out: &mut [f32]) {
    let rows = x.data.chunks_exact(settings.inputs()).zip(uniform.data);
    for ((inputs, uniform), out) in rows.zip(out) {
        let series = Series::new(settings, inputs);
        *out = quantile(&series, settings.cells(), f64::from(*uniform)) as f32;
    }
}
