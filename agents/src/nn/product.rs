//! Matrix products in `f32` for the explicit passes of [`super::Mlp`]: [`product`].
//!
//! Where the processor has AVX-512 a kernel of our own, since libtorch's library and the crates at hand keep to 256 bits on
//! some of these processors and are half as fast there (docs/performance.md); elsewhere the crate matrixmultiply.
//!
//! [`product_of`] is the same with the right side laid out before ([`Right`]) and both sides rounded to bfloat16, where the
//! processor has instructions for it ([`Bfloat16`]).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;

use std::cell::RefCell;

/// Proof that the processor multiplies bfloat16, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bfloat16(By);

/// Instructions that multiply bfloat16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Two numbers of a sum at a time, in vectors: AVX512-BF16.
    Vectors,
    /// 32 numbers of sixteen by sixteen sums: AMX.
    Tiles,
}

impl Bfloat16 {
    /// If it does: with AMX, or with AVX512-BF16, and what the kernels need beside it.
    pub(super) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512bf16")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512f")
        {
            // Where there are tiles, vectors are no faster than those of `f32`.
            return Some(Bfloat16(if amx::detect() { By::Tiles } else { By::Vectors }));
        }
        None
    }

    /// What the instructions are called.
    pub(super) fn instructions(self) -> &'static str {
        match self.0 {
            By::Vectors => "AVX512-BF16",
            By::Tiles => "AMX",
        }
    }

    /// Pairs of numbers in a sum over k, as its kernel takes them.
    #[cfg(target_arch = "x86_64")]
    fn pairs(self, k: usize) -> usize {
        match self.0 {
            By::Vectors => k.div_ceil(2),
            By::Tiles => amx::pairs_of(k),
        }
    }

    /// Whether a product `[m, k] · [k, n]` is worth it. One with a single column or a single term per sum is nothing but
    /// memory traffic: rounding would lose digits and gain no time.
    pub(super) fn serves(self, k: usize, n: usize) -> bool {
        k > 1 && n > 1
    }
}

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

    /// Columns.
    pub(super) fn columns(self) -> usize {
        self.cols
    }

    /// Terms of a sum, if it is a product's right side.
    pub(super) fn depth(self) -> usize {
        self.rows
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
    /// Room for copies of a product's sides, kept between products.
    #[cfg(target_arch = "x86_64")]
    static ROOM: RefCell<avx512::Room> = RefCell::default();
    /// Room for a left side in bfloat16, two numbers each.
    static LEFT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    #[cfg(target_arch = "x86_64")]
    static TILES: RefCell<amx::Room> = RefCell::default();
}

/// Room for so many numbers at least. It never shrinks: what grows again would be filled anew.
#[cfg(target_arch = "x86_64")]
fn reserve<T: Copy + Default>(room: &mut Vec<T>, len: usize) {
    if room.len() < len {
        room.resize(len, T::default());
    }
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
    /// Is multiplied by the number at its place in this matrix, laid out like the result.
    Times(&'a [f32]),
}

impl Finish<'_> {
    /// Of a result `[m, n]` that was written unfinished.
    pub(super) fn apply(self, out: &mut [f32], n: usize) {
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
            Finish::Times(factors) => out.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor),
            Finish::WherePositive(mask) => {
                for (x, mask) in out.iter_mut().zip(mask) {
                    *x = if *mask > 0.0 { *x } else { 0.0 };
                }
            }
        }
    }
}

/// `sums [n]` of the rows of a matrix `[m, n]`, added in their order.
pub(super) fn sum_rows(rows: &[f32], sums: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { wide::sum_rows(rows, sums) };
    }
    sum_rows_plain(rows, sums);
}

#[inline(always)]
fn sum_rows_plain(rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// `out [m] = a [m, k] · b [k]`: a kernel for panels would fill them with zeros.
fn column(a: Matrix, b: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { wide::column(a, b, out) };
    }
    column_plain(a, b, out);
}

/// The same code, for which the compiler may use wider vectors; no operation is fused, so the results are the same.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Matrix, column_plain, few_rows_plain, sum_rows_plain};

    #[target_feature(enable = "avx512f")]
    pub(super) fn few_rows(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
        few_rows_plain(a, b, k, out);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn sum_rows(rows: &[f32], sums: &mut [f32]) {
        sum_rows_plain(rows, sums);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn column(a: Matrix, b: &[f32], out: &mut [f32]) {
        column_plain(a, b, out);
    }
}

#[inline(always)]
fn column_plain(a: Matrix, b: &[f32], out: &mut [f32]) {
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
#[inline(always)]
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

/// `out [m, n] = a [m, k] · b [k, n]` for a few rows, which copying columns into panels would not pay for. No operation is
/// fused and every sum is taken term by term, so that the bits are the same on every processor and for any m.
pub(super) fn few_rows(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { wide::few_rows(a, b, k, out) };
    }
    few_rows_plain(a, b, k, out);
}

#[inline(always)]
fn few_rows_plain(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    /// Whose sums stay in registers.
    const COLUMNS: usize = 128;
    let n = b.len() / k.max(1);
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
            let from = |term: usize| &b[term * n + block * COLUMNS..][..out.len()];
            let mut sums = [0.0f32; COLUMNS];
            for (term, factor) in row.iter().enumerate() {
                let from = from(term);
                match <&[f32; COLUMNS]>::try_from(from) {
                    Ok(from) => sums.iter_mut().zip(from).for_each(|(sum, x)| *sum += factor * x),
                    Err(_) => sums.iter_mut().zip(from).for_each(|(sum, x)| *sum += factor * x),
                }
            }
            let width = out.len();
            out.copy_from_slice(&sums[..width]);
        }
    }
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished.
///
/// Sums over k are taken in one order, whatever m and n: a row of the result does not depend on the others.
pub(super) fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish) {
    check(a, (b.rows, b.cols), out, finish);
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
        ROOM.with_borrow_mut(|room| unsafe { avx512::product(a, b, out, finish, room) });
        return;
    }
    portable(a, b, out, finish);
}

/// Shapes of a product with a right side `[k, n]`.
fn check(a: Matrix, (k, n): (usize, usize), out: &[f32], finish: Finish) {
    assert_eq!((a.cols, out.len()), (k, a.rows * n), "shapes of a product agree");
    match finish {
        Finish::Bias { bias, .. } => assert_eq!(bias.len(), n, "one bias per column"),
        Finish::WherePositive(mask) => assert_eq!(mask.len(), out.len(), "one decision per number"),
        Finish::Times(factors) => assert_eq!(factors.len(), out.len(), "one factor per number"),
        Finish::Plain => {}
    }
}

/// The right side of a product, rounded to bfloat16 and laid out, two numbers in each of `pairs`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pairs: &'a [u32],
    depth: usize,
    columns: usize,
    processor: Bfloat16,
}

impl<'a> Right<'a> {
    /// Of `b`, in `room`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
    pub(super) fn lay_out(processor: Bfloat16, b: Matrix, room: &'a mut Vec<u32>) -> Self {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor was detected; strides and lengths were checked in `Matrix::new`.
        unsafe {
            bf16::pack_right(b, processor.pairs(b.rows), room);
        }
        Right {
            pairs: room,
            depth: b.rows,
            columns: b.cols,
            processor,
        }
    }
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished; the factors rounded to bfloat16, the sums `f32`.
///
/// Sums over k are taken in one order, whatever m and n: a row of the result does not depend on the others.
pub(super) fn product_of(a: Matrix, b: Right, out: &mut [f32], finish: Finish) {
    check(a, (b.depth, b.columns), out, finish);
    #[cfg(target_arch = "x86_64")]
    if !out.is_empty() {
        // SAFETY: the processor was detected; shapes, strides and lengths were checked above and in `Matrix::new`,
        // and a right side is whole.
        match b.processor.0 {
            By::Vectors => LEFT.with_borrow_mut(|left| unsafe {
                bf16::product(a, b.pairs, out, b.columns, finish, left);
            }),
            By::Tiles => TILES.with_borrow_mut(|room| unsafe {
                amx::product(a, b.pairs, out, b.columns, finish, room);
            }),
        }
    }
}

/// The same as [`product`] through the crate matrixmultiply.
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
mod tests;
