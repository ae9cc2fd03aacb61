//! Matrix products in `f32` for the explicit passes of [`super::Mlp`]: [`product`].
//!
//! Where the processor has AVX-512 a kernel of our own, since libtorch's library and the crates at hand keep to 256 bits on
//! some of these processors and are half as fast there (docs/performance.md); elsewhere the crate matrixmultiply.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cell::RefCell;

/// A matrix within a slice.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row, `rows · cols` numbers.
    pub(super) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a matrix has its numbers");
        Matrix {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// Some of its rows.
    pub(super) fn rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "there are so many rows");
        Matrix {
            data: self.data.get(first * self.row_stride..).unwrap_or_default(),
            rows: count,
            ..self
        }
    }

    /// The same numbers, rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Matrix {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

thread_local! {
    /// Room for some columns of a product's right side, kept between products.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What happens to a product's numbers before they are written.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    /// Nothing.
    Plain,
    /// A bias per column is added; then, perhaps, what is below 0 becomes 0.
    Bias { bias: &'a [f32], relu: bool },
    /// Becomes 0 where this matrix, laid out like the result, is not above 0: the derivative of ReLU at its own result.
    WherePositive(&'a [f32]),
}

impl Finish<'_> {
    /// Of a result `[m, n]` that was written unfinished.
    fn apply(self, out: &mut [f32], n: usize) {
        match self {
            Finish::Plain => {}
            Finish::Bias { bias, relu } => {
                let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
                for row in out.chunks_exact_mut(n) {
                    for (x, bias) in row.iter_mut().zip(bias) {
                        let sum = *x + bias;
                        *x = if sum < floor { floor } else { sum }; // what is not a number stays none
                    }
                }
            }
            Finish::WherePositive(mask) => {
                for (x, mask) in out.iter_mut().zip(mask) {
                    *x = if *mask > 0.0 { *x } else { 0.0 };
                }
            }
        }
    }
}

/// `out [m] = a [m, k] · b [k]`: a kernel for panels would fill them with zeros.
fn column(a: Matrix, b: &[f32], out: &mut [f32]) {
    if a.col_stride == 1 {
        for (row, out) in out.iter_mut().enumerate() {
            *out = dot(&a.data[row * a.row_stride..][..b.len()], b);
        }
        return;
    }
    out.fill(0.0);
    // Otherwise columns lie together: a matrix is as it was made, or turned.
    for (index, factor) in b.iter().enumerate() {
        let column = &a.data[index * a.col_stride..][..out.len()];
        out.iter_mut().zip(column).for_each(|(sum, x)| *sum += factor * x);
    }
}

/// Sums sixteen by sixteen, so that the compiler can use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished.
///
/// Sums over k are taken in one order, whatever m and n: a row of the result does not depend on the others.
pub(super) fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish) {
    assert_eq!(
        (a.cols, out.len()),
        (b.rows, a.rows * b.cols),
        "shapes of a product agree"
    );
    match finish {
        Finish::Bias { bias, .. } => assert_eq!(bias.len(), b.cols, "one bias per column"),
        Finish::WherePositive(mask) => assert_eq!(mask.len(), out.len(), "one decision per number"),
        Finish::Plain => {}
    }
    if out.is_empty() {
        return;
    }
    if b.cols == 1 && b.row_stride == 1 {
        column(a, &b.data[..b.rows], out);
        finish.apply(out, 1);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F; shapes, strides and lengths were checked above and in `Matrix::new`.
        PANEL.with_borrow_mut(|panel| unsafe { avx512::product(a, b, out, finish, panel) });
        return;
    }
    portable(a, b, out, finish);
}

/// The same through the crate matrixmultiply.
fn portable(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish) {
    let n = b.cols;
    let stride = |stride: usize| stride as isize;
    // SAFETY: `Matrix::new` made sure that all `rows · cols` elements lie within `data`, and `out` has m · n.
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.cols,
            n,
            1.0,
            a.data.as_ptr(),
            stride(a.row_stride),
            stride(a.col_stride),
            b.data.as_ptr(),
            stride(b.row_stride),
            stride(b.col_stride),
            0.0,
            out.as_mut_ptr(),
            stride(n),
            1,
        );
    }
    finish.apply(out, n);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Stream;

    fn numbers(count: usize, stream: &mut Stream) -> Vec<f32> {
        let mut numbers = vec![0.0; count];
        stream.uniform_into(-1.0, 1.0, &mut numbers);
        numbers
    }

    /// The definition, in double precision.
    fn plain(a: Matrix, b: Matrix, finish: Finish) -> Vec<f32> {
        let mut out = Vec::new();
        for i in 0..a.rows {
            for j in 0..b.cols {
                let at = |k: usize| {
                    let x = f64::from(a.data[i * a.row_stride + k * a.col_stride]);
                    x * f64::from(b.data[k * b.row_stride + j * b.col_stride])
                };
                let sum: f64 = (0..a.cols).map(at).sum();
                let finished = match finish {
                    Finish::Plain => sum,
                    Finish::Bias { bias, relu } => {
                        let sum = sum + f64::from(bias[j]);
                        if relu { sum.max(0.0) } else { sum }
                    }
                    Finish::WherePositive(mask) if mask[out.len()] > 0.0 => sum,
                    Finish::WherePositive(_) => 0.0,
                };
                out.push(finished as f32);
            }
        }
        out
    }

    #[test]
    fn every_form_equals_the_definition_at_every_remainder() {
        let mut stream = Stream::derive(1, "product", 0);
        let mut nan = [0.0];
        let relu = Finish::Bias {
            bias: &[0.0],
            relu: true,
        };
        product(
            Matrix::new(&[f32::NAN], 1, 1),
            Matrix::new(&[1.0], 1, 1),
            &mut nan,
            relu,
        );
        assert!(nan[0].is_nan(), "what diverged is not hidden");
        for m in [1, 3, 4, 11, 12, 13, 29] {
            for k in [1, 2, 17] {
                for n in [1, 5, 15, 16, 17, 31, 32, 33, 50] {
                    let (a, b) = (numbers(m * k, &mut stream), numbers(k * n, &mut stream));
                    let (bias, mask) = (numbers(n, &mut stream), numbers(m * n, &mut stream));
                    let finishes = [
                        Finish::Plain,
                        Finish::Bias {
                            bias: &bias,
                            relu: false,
                        },
                        Finish::Bias {
                            bias: &bias,
                            relu: true,
                        },
                        Finish::WherePositive(&mask),
                    ];
                    for finish in finishes {
                        for (a_turned, b_turned) in [(false, false), (true, false), (false, true), (true, true)] {
                            let matrix = |data, rows, cols, turned| match turned {
                                false => Matrix::new(data, rows, cols),
                                true => Matrix::new(data, cols, rows).transposed(),
                            };
                            let (a, b) = (matrix(&a, m, k, a_turned), matrix(&b, k, n, b_turned));
                            let expected = plain(a, b, finish);
                            let (mut out, mut other) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                            product(a, b, &mut out, finish);
                            portable(a, b, &mut other, finish);
                            for ((out, other), expected) in out.iter().zip(&other).zip(&expected) {
                                assert!((out - expected).abs() < 1e-5, "{m} {k} {n}: {out} {expected}");
                                assert!((other - expected).abs() < 1e-5, "{m} {k} {n}: {other} {expected}");
                            }
                        }
                    }
                }
            }
        }
    }
}
