//! Copying parts of the factors so that a kernel reads them in order: [`pack_rows`], [`pack_panel`], [`transpose`].

use std::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{
    Matrix,
    output::mask,
    sizes::{LANES, ROWS},
};
use crate::reserve;

/// Copies `depth` terms, from the term `from` on, of the rows of `a` that fill whole blocks, to `scratch`
/// `[blocks, depth, ROWS]`.
///
/// # Safety
/// The processor has AVX-512F; `a` has `row_stride` 1 and at least `from + depth` columns.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pack_rows(a: Matrix, from: usize, depth: usize, scratch: &mut Vec<f32>) {
    let blocks = a.rows / ROWS;
    reserve(scratch, blocks * depth * ROWS);
    for block in 0..blocks {
        for term in 0..depth {
            // SAFETY: twelve rows of the block, at a term that `a` has; other lanes are masked. `scratch` was grown to
            // hold all blocks.
            unsafe {
                let at = a.data.as_ptr().add((from + term) * a.col_stride + block * ROWS);
                let values = _mm512_maskz_loadu_ps((1 << ROWS) - 1, at);
                let to = scratch.as_mut_ptr().add((block * depth + term) * ROWS);
                _mm512_mask_storeu_ps(to, (1 << ROWS) - 1, values);
            }
        }
    }
}

/// Copies `terms` of the `used` columns of `b` from `first` on to `panel` `[terms, width]`, with zeros in the other
/// columns.
///
/// # Safety
/// The processor has AVX-512F; `b` has these terms and columns; `width` is 16 or 32, and at least `used`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pack_panel(
    b: Matrix,
    terms: std::ops::Range<usize>,
    first: usize,
    used: usize,
    width: usize,
    panel: &mut Vec<f32>,
) {
    let depth = terms.len();
    reserve(panel, depth * width);
    let at = |term: usize, column: usize| (terms.start + term) * b.row_stride + (first + column) * b.col_stride;
    if b.has_contiguous_rows() {
        let masks = [mask(used, 0), mask(used, LANES)];
        let mut from = b.data.as_ptr().wrapping_add(at(0, 0));
        let mut to = panel.as_mut_ptr();
        for _ in 0..depth {
            // SAFETY: lanes beyond the used columns are masked; the panel was grown to `width` values a term.
            unsafe {
                _mm512_storeu_ps(to, _mm512_maskz_loadu_ps(masks[0], from));
                if width > LANES {
                    let second = _mm512_maskz_loadu_ps(masks[1], from.wrapping_add(LANES));
                    _mm512_storeu_ps(to.add(LANES), second);
                }
            }
            from = from.wrapping_add(b.row_stride);
            to = to.wrapping_add(width);
        }
        return;
    }
    // The terms of a column lie together: squares of sixteen by sixteen are transposed in registers.
    let in_squares = if b.row_stride == 1 { depth / LANES * LANES } else { 0 };
    for vector in (0..width).step_by(LANES) {
        let is_square = used >= vector + LANES;
        for term in (0..if is_square { in_squares } else { 0 }).step_by(LANES) {
            // SAFETY: sixteen terms below `depth` of sixteen used columns; the panel was grown to `width` values a
            // term.
            unsafe {
                let mut square = [_mm512_setzero_si512(); LANES];
                for (column, values) in square.iter_mut().enumerate() {
                    *values = _mm512_loadu_si512(b.data.as_ptr().add(at(term, vector + column)).cast());
                }
                transpose(&mut square);
                for (row, values) in square.into_iter().enumerate() {
                    _mm512_storeu_si512(panel.as_mut_ptr().add((term + row) * width + vector).cast(), values);
                }
            }
        }
        for term in if is_square { in_squares } else { 0 }..depth {
            for column in vector..vector + LANES {
                panel[term * width + column] = match column < used {
                    true => b.data[at(term, column)],
                    false => 0.0,
                };
            }
        }
    }
}

/// Transposes sixteen by sixteen values of 32 bits.
///
/// # Safety
/// The processor has AVX-512F.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn transpose(square: &mut [__m512i; LANES]) {
    let mut by_two = *square;
    for i in (0..LANES).step_by(2) {
        by_two[i] = _mm512_unpacklo_epi32(square[i], square[i + 1]);
        by_two[i + 1] = _mm512_unpackhi_epi32(square[i], square[i + 1]);
    }
    // Within each quarter of a vector, four columns of four rows.
    let mut by_four = by_two;
    for i in (0..LANES).step_by(4) {
        by_four[i] = _mm512_unpacklo_epi64(by_two[i], by_two[i + 2]);
        by_four[i + 1] = _mm512_unpackhi_epi64(by_two[i], by_two[i + 2]);
        by_four[i + 2] = _mm512_unpacklo_epi64(by_two[i + 1], by_two[i + 3]);
        by_four[i + 3] = _mm512_unpackhi_epi64(by_two[i + 1], by_two[i + 3]);
    }
    // by_four[4 r + c] holds columns c, c + 4, c + 8, c + 12 of the rows 4 r to 4 r + 3: exchange the quarters.
    for c in 0..4 {
        let [r0, r1, r2, r3] = [by_four[c], by_four[4 + c], by_four[8 + c], by_four[12 + c]];
        let (even_low, odd_low) = (
            _mm512_shuffle_i32x4::<0b10_00_10_00>(r0, r1), // r0.0 r0.2 r1.0 r1.2
            _mm512_shuffle_i32x4::<0b11_01_11_01>(r0, r1), // r0.1 r0.3 r1.1 r1.3
        );
        let (even_high, odd_high) = (
            _mm512_shuffle_i32x4::<0b10_00_10_00>(r2, r3),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(r2, r3),
        );
        square[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even_low, even_high); // quarter 0 of each
        square[c + 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_low, odd_high);
        square[c + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even_low, even_high);
        square[c + 12] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_low, odd_high);
    }
}
