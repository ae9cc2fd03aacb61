//! Products and sums that read their matrices where they lie: [`few_rows`], [`sum_rows`], [`times_column`].
//!
//! For these shapes, copying a factor into panels for a kernel costs more than it gains. No operation is fused, so the
//! results are the same to the bit on every processor.

use super::Matrix;
use crate::widest;

/// `out [m, n] = a [m, k] · b [k, n]` for a few rows.
///
/// Each sum is taken term by term, so a row's result does not depend on m.
///
/// # Panics
/// When the lengths do not fit a product: `a` has no whole rows of k values, `b` no whole columns of k, or `out` is not
/// `[m, n]`.
pub fn few_rows(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    if k == 0 {
        assert!(a.is_empty() && b.is_empty(), "factors of depth 0 are empty");
        return out.fill(0.0);
    }
    assert!(
        a.len().is_multiple_of(k) && b.len().is_multiple_of(k),
        "factors of depth {k}"
    );
    assert_eq!(
        Some(out.len()),
        (a.len() / k).checked_mul(b.len() / k),
        "a result is [m, n]"
    );
    if out.is_empty() {
        return;
    }
    widest(
        #[inline(always)]
        || few_rows_plain(a, b, k, out),
    );
}

#[inline(always)]
pub(super) fn few_rows_plain(a: &[f32], b: &[f32], k: usize, out: &mut [f32]) {
    /// So many sums stay in registers.
    const COLUMNS: usize = 128;
    let n = b.len() / k;
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
            let columns_of = |term: usize| &b[term * n + block * COLUMNS..][..out.len()];
            let mut sums = [0.0f32; COLUMNS];
            for (term, factor) in row.iter().enumerate() {
                let columns = columns_of(term);
                match <&[f32; COLUMNS]>::try_from(columns) {
                    Ok(columns) => sums.iter_mut().zip(columns).for_each(|(sum, x)| *sum += factor * x),
                    Err(_) => sums.iter_mut().zip(columns).for_each(|(sum, x)| *sum += factor * x),
                }
            }
            let width = out.len();
            out.copy_from_slice(&sums[..width]);
        }
    }
}

/// `sums [n]` of the columns of a matrix `[m, n]`, its rows added in order.
///
/// # Panics
/// When `rows` is not whole rows of n values.
pub fn sum_rows(rows: &[f32], sums: &mut [f32]) {
    if sums.is_empty() {
        return assert!(rows.is_empty(), "rows without columns are empty");
    }
    assert!(
        rows.len().is_multiple_of(sums.len()),
        "rows have {} values each",
        sums.len()
    );
    widest(
        #[inline(always)]
        || sum_rows_plain(rows, sums),
    );
}

#[inline(always)]
fn sum_rows_plain(rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// `out [m] = a [m, k] · b [k]`. A kernel for panels would fill them with zeros.
pub(super) fn times_column(a: Matrix, b: &[f32], out: &mut [f32]) {
    widest(
        #[inline(always)]
        || times_column_plain(a, b, out),
    );
}

#[inline(always)]
fn times_column_plain(a: Matrix, b: &[f32], out: &mut [f32]) {
    if a.has_contiguous_rows() {
        for (row, out) in out.iter_mut().enumerate() {
            *out = dot(&a.data[row * a.row_stride..][..b.len()], b);
        }
        return;
    }
    // One of the strides is 1: the values of a column lie together.
    out.fill(0.0);
    for (index, factor) in b.iter().enumerate() {
        let column = &a.data[index * a.col_stride..][..out.len()];
        out.iter_mut().zip(column).for_each(|(sum, x)| *sum += factor * x);
    }
}

/// The inner product, in sixteen interleaved sums, so that the compiler can use vectors.
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
