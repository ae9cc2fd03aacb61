//! Rounding factors to bfloat16 and laying them out in pairs.
//!
//! The instructions read two neighbouring terms of a sum as one value of 32 bits. So the right factor is laid out in
//! panels of 32 (or 16) columns, and in a panel pair after pair; the left factor row after row.

use std::arch::x86_64::{
    __m512bh, __m512i, __mmask16, _mm512_cvtne2ps_pbh, _mm512_loadu_si512, _mm512_mask_storeu_epi32,
    _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_setzero_ps, _mm512_storeu_si512,
};

use crate::product::{
    Matrix,
    avx512::{LANES, mask, transpose},
};

/// Columns of a full panel.
pub(super) const PANEL: usize = 2 * LANES;

/// Columns of the next panel when `left` columns are left.
pub(super) fn panel_width(left: usize) -> usize {
    if left > LANES { PANEL } else { LANES }
}

/// Lays out `b` `[k, n]`, panel after panel, each with `pairs` pairs of terms; zeros beyond k and n.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16, and `pairs` is at least k / 2, rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_right(b: Matrix, pairs: usize, right: &mut Vec<u32>) {
    if pairs == 0 {
        return right.clear();
    }
    right.resize(pairs * b.cols.next_multiple_of(LANES), 0);
    for (index, panel) in right.chunks_mut(pairs * PANEL).enumerate() {
        // SAFETY: the processor is the caller's, and the panel's columns begin below n.
        unsafe { pack_panel(b, pairs, index * PANEL, panel) };
    }
}

/// Lays out the columns of a panel, from `first` on.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16; `first` is below n, and `pairs` is at least k / 2, rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panel(b: Matrix, pairs: usize, first: usize, panel: &mut [u32]) {
    let (k, n) = (b.rows, b.cols);
    let width = panel_width(n - first);
    assert_eq!(panel.len(), pairs * width, "a panel has room for its columns");
    let from = b.data.as_ptr();
    let to = panel.as_mut_ptr();
    if b.has_contiguous_rows() {
        let used = k.div_ceil(2);
        panel[used * width..].fill(0);
        for pair in 0..used {
            for column in (0..width).step_by(LANES) {
                let columns = mask(n, first + column);
                // SAFETY: row 2 · pair is below k, and the next is read only if it is too; lanes beyond the last column
                // are masked. `pair` and `column` are within the panel, whose length was checked above.
                unsafe {
                    let low = from.wrapping_add(2 * pair * b.row_stride + first + column);
                    let paired = paired_rows(low, b.row_stride, 2 * pair + 1 < k, columns);
                    _mm512_storeu_si512(to.add(pair * width + column).cast(), paired);
                }
            }
        }
        return;
    }
    for column in (0..width).step_by(LANES) {
        for pair in (0..pairs).step_by(LANES) {
            // SAFETY: of columns beyond n no value is read, of others the k that lie together. Rows of the square
            // beyond `pairs` are not stored; the panel's length was checked above.
            unsafe {
                let mut square: [__m512i; LANES] = std::array::from_fn(|j| {
                    let here = first + column + j;
                    let values = if here < n { k } else { 0 };
                    pairs_of_row(from.wrapping_add(here * b.col_stride), values, 2 * pair)
                });
                transpose(&mut square);
                for (row, paired) in square.iter().take(pairs - pair).enumerate() {
                    _mm512_storeu_si512(to.add((pair + row) * width + column).cast(), *paired);
                }
            }
        }
    }
}

/// Lays out the rows of `a`, each in `pairs`, zeros beyond its values.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16; the rows of `a` are contiguous, and `pairs` is at least half their length,
/// rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_rows(a: Matrix, pairs: usize, left: &mut [u32]) {
    assert!(left.len() >= a.rows * pairs, "there is room for all rows");
    let (from, to) = (a.data.as_ptr(), left.as_mut_ptr());
    for row in 0..a.rows {
        for pair in (0..pairs).step_by(LANES) {
            // SAFETY: the row is one of `a`, of which `pairs_of_row` reads `cols` values; lanes beyond `pairs` are
            // masked, and `left` was measured above.
            unsafe {
                let paired = pairs_of_row(from.wrapping_add(row * a.row_stride), a.cols, 2 * pair);
                _mm512_mask_storeu_epi32(to.add(row * pairs + pair).cast(), mask(pairs, pair), paired);
            }
        }
    }
}

/// Sixteen pairs of the `values` contiguous values at `from`, beginning with the value `at`; zeros beyond the last.
///
/// # Safety
/// The processor has AVX-512F and BF16, and `from` has `values` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs_of_row(from: *const f32, values: usize, at: usize) -> __m512i {
    // SAFETY: lanes beyond the last value are masked.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(values, at), from.wrapping_add(at));
        let high = _mm512_maskz_loadu_ps(mask(values, at + LANES), from.wrapping_add(at + LANES));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Sixteen pairs of values above each other: those at `low` and, with `both`, those `stride` further; otherwise zeros.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16, and the lanes in `which` can be read from these rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn paired_rows(low: *const f32, stride: usize, both: bool, which: __mmask16) -> __m512i {
    /// Interleaves words 0 to 15, of the lower row, with words 16 to 31, of the upper.
    const ZIP: [u16; 32] = {
        let mut zip = [0; 32];
        let mut lane = 0;
        while lane < 16 {
            zip[2 * lane] = lane as u16;
            zip[2 * lane + 1] = 16 + lane as u16;
            lane += 1;
        }
        zip
    };
    // SAFETY: the caller lets the lanes in `which` be read; `ZIP` is as long as a vector.
    unsafe {
        let upper = match both {
            true => _mm512_maskz_loadu_ps(which, low.wrapping_add(stride)),
            false => _mm512_setzero_ps(),
        };
        let rounded = _mm512_cvtne2ps_pbh(upper, _mm512_maskz_loadu_ps(which, low));
        let zip = _mm512_loadu_si512(ZIP.as_ptr().cast());
        _mm512_permutexvar_epi16(zip, std::mem::transmute::<__m512bh, __m512i>(rounded))
    }
}
