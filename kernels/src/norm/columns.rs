//! Normalisation of columns: [`moments`], [`apply`], [`scale`], [`Statistics::backward`]; and [`to_unit_norm`].
//!
//! ```text
//! μ = mean_B x,   σ² = mean_B (x − μ)²,   y = (x − μ) · factor + offset
//! with factor = c/√(σ² + ε):   g_x = factor · (g − mean_B g − x̂ · mean_B(g·x̂)),   x̂ = (x − μ)/√(σ² + ε)
//! ```

use super::{at_least, check_rows, floor};
use crate::widest;

/// So many rows are added up before they are added to the sums, which halves the traffic of the sums.
const TOGETHER: usize = 4;

/// Writes mean and biased variance of each column of `x` `[B, n]`. One pass; sums are taken relative to the first row,
/// so that large means do not cancel.
///
/// # Panics
/// When `x` has no rows, or rows of another width than `mean` and `variance`.
pub fn moments(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    check_rows(x.len(), mean.len());
    assert_eq!(mean.len(), variance.len(), "a column has a mean and a variance");
    let origin = &x[..mean.len()];
    widest(
        #[inline(always)]
        || {
            sums_of_two(x, x, origin, mean, variance, |x, _| (x, x * x));
            let share = 1.0 / (x.len() / origin.len()) as f32;
            for ((mean, variance), origin) in mean.iter_mut().zip(variance).zip(origin) {
                let distance = *mean * share;
                *variance = at_least(0.0, *variance * share - distance * distance);
                *mean = origin + distance;
            }
        },
    );
}

/// Writes y = (x − mean) · factor + offset to `y`, with a ReLU after it if `relu`.
///
/// # Panics
/// When the lengths do not fit.
pub fn apply(x: &[f32], mean: &[f32], (factor, offset): (&[f32], &[f32]), relu: bool, y: &mut [f32]) {
    let width = mean.len();
    check_rows(x.len(), width);
    assert_eq!(
        [factor.len(), offset.len(), y.len()],
        [width, width, x.len()],
        "columns have one factor and offset each"
    );
    let floor = floor(relu);
    widest(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                apply_row(x, mean, factor, offset, floor, y);
            }
        },
    );
}

#[inline(always)]
fn apply_row(x: &[f32], mean: &[f32], factor: &[f32], offset: &[f32], floor: f32, y: &mut [f32]) {
    let columns = x.iter().zip(mean).zip(factor).zip(offset);
    for (y, (((x, mean), factor), offset)) in y.iter_mut().zip(columns) {
        *y = at_least(floor, (x - mean) * factor + offset);
    }
}

/// Multiplies the columns of `g` `[B, n]` by `factor` `[n]`: the backward pass of [`apply`] with constant statistics.
///
/// # Panics
/// When the lengths do not fit.
pub fn scale(factor: &[f32], g: &mut [f32]) {
    check_rows(g.len(), factor.len());
    widest(
        #[inline(always)]
        || {
            for g in g.chunks_exact_mut(factor.len()) {
                g.iter_mut().zip(factor).for_each(|(g, factor)| *g *= factor);
            }
        },
    );
}

/// Divides the columns of a matrix by their norms, or by `least` where the norm is smaller.
///
/// # Panics
/// When the matrix does not have whole rows of `width` values.
pub fn to_unit_norm(matrix: &mut [f32], width: usize, least: f32) {
    check_rows(matrix.len(), width);
    let mut factor = vec![0.0f32; width];
    widest(
        #[inline(always)]
        || {
            for row in matrix.chunks_exact(width) {
                factor.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
            }
            factor
                .iter_mut()
                .for_each(|sum| *sum = 1.0 / at_least(least, sum.sqrt()));
        },
    );
    scale(&factor, matrix);
}

/// The statistics with which columns were normalised.
#[derive(Clone, Copy, Debug)]
pub struct Statistics<'a> {
    /// μ, `[n]`.
    pub mean: &'a [f32],
    /// 1/√(σ² + ε), `[n]`.
    pub inverse_std: &'a [f32],
}

impl Statistics<'_> {
    /// Writes Σ_B g and Σ_B g·x̂ of each column.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn gradient_sums(self, x: &[f32], g: &[f32], of_shift: &mut [f32], of_normed: &mut [f32]) {
        self.check(x.len(), g.len());
        assert_eq!(
            [of_shift.len(), of_normed.len()],
            [self.mean.len(); 2],
            "columns have one sum each"
        );
        widest(
            #[inline(always)]
            || {
                sums_of_two(x, g, self.mean, of_shift, of_normed, |x, g| (g, g * x));
                let scaled = of_normed.iter_mut().zip(self.inverse_std);
                scaled.for_each(|(sum, inverse_std)| *sum *= inverse_std);
            },
        );
    }

    /// Replaces the gradient `g` with respect to (x − μ)/√(σ² + ε) · c by that with respect to x, where the statistics
    /// are those of x. `factor` is c/√(σ² + ε); the sums are those of [`Statistics::gradient_sums`].
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(self, x: &[f32], (of_shift, of_normed): (&[f32], &[f32]), factor: &[f32], g: &mut [f32]) {
        self.check(x.len(), g.len());
        let width = self.mean.len();
        assert_eq!(
            [of_shift.len(), of_normed.len(), factor.len()],
            [width; 3],
            "columns have two sums and a factor each"
        );
        let share = 1.0 / (x.len() / width) as f32;
        // factor · (g − mean g − x̂ · mean(g·x̂)) = factor · g − offset − slope · (x − μ)
        let offset: Vec<f32> = factor.iter().zip(of_shift).map(|(f, sum)| f * sum * share).collect();
        let columns = factor.iter().zip(of_normed).zip(self.inverse_std);
        let slope: Vec<f32> = columns.map(|((f, sum), inverse)| f * sum * inverse * share).collect();
        widest(
            #[inline(always)]
            || {
                for (x, g) in x.chunks_exact(width).zip(g.chunks_exact_mut(width)) {
                    backward_row(x, self.mean, factor, &offset, &slope, g);
                }
            },
        );
    }

    fn check(self, x: usize, g: usize) {
        check_rows(x, self.mean.len());
        assert_eq!(
            [g, self.inverse_std.len()],
            [x, self.mean.len()],
            "each input has a gradient, and each column two statistics"
        );
    }
}

#[inline(always)]
fn backward_row(x: &[f32], mean: &[f32], factor: &[f32], offset: &[f32], slope: &[f32], g: &mut [f32]) {
    let columns = x.iter().zip(mean).zip(factor).zip(offset).zip(slope);
    for (g, ((((x, mean), factor), offset), slope)) in g.iter_mut().zip(columns) {
        *g = factor * *g - offset - slope * (x - mean);
    }
}

/// Writes the column sums of both results of `of(x − origin, y)`.
#[inline(always)]
fn sums_of_two(
    x: &[f32],
    y: &[f32],
    origin: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    of: impl Fn(f32, f32) -> (f32, f32),
) {
    let width = origin.len();
    first.fill(0.0);
    second.fill(0.0);
    let whole = x.len() - x.len() % (TOGETHER * width);
    let (x_blocks, x_rest) = x.split_at(whole);
    let (y_blocks, y_rest) = y.split_at(whole);
    let blocks = x_blocks.chunks_exact(TOGETHER * width);
    for (x, y) in blocks.zip(y_blocks.chunks_exact(TOGETHER * width)) {
        add_rows::<TOGETHER>(x, y, origin, first, second, &of);
    }
    for (x, y) in x_rest.chunks_exact(width).zip(y_rest.chunks_exact(width)) {
        add_rows::<1>(x, y, origin, first, second, &of);
    }
}

#[inline(always)]
fn add_rows<const ROWS: usize>(
    x: &[f32],
    y: &[f32],
    origin: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    of: &impl Fn(f32, f32) -> (f32, f32),
) {
    let width = origin.len();
    let (first, second) = (&mut first[..width], &mut second[..width]);
    let x: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * width..][..width]);
    let y: [&[f32]; ROWS] = std::array::from_fn(|row| &y[row * width..][..width]);
    for column in 0..width {
        let (mut a, mut b) = (0.0, 0.0);
        for row in 0..ROWS {
            let (of_first, of_second) = of(x[row][column] - origin[column], y[row][column]);
            a += of_first;
            b += of_second;
        }
        first[column] += a;
        second[column] += b;
    }
}
