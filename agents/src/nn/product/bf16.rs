//! The kernel for processors with AVX512-BF16: factors are rounded to bfloat16, sums are `f32`.
//!
//! `VDPBF16PS` adds two products to each of sixteen sums in the time in which AVX-512 adds one. It reads its factors as
//! pairs that follow each other in the sum, so both sides are rounded (to the nearest, ties to even) and laid out first:
//! the right side in panels of 32 (or 16) columns, the left side row after row, or block after block. Whoever shares a
//! product lays out the rows that are its own, and the whole right side. The instructions take numbers below 2⁻¹²⁶ for 0.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_epi32, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_si512,
};

use super::{
    Finish, Matrix,
    avx512::{Goal, LANES, mask, transpose},
    reserve,
};

/// Columns of a panel.
pub(super) const PANEL: usize = 2 * LANES;

/// Columns of a panel, where so many are left.
pub(super) fn width(left: usize) -> usize {
    if left > LANES { PANEL } else { LANES }
}

/// Rows of a block, of which so many are left.
fn block_rows(left: usize) -> usize {
    match left {
        12.. => 12,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Lays out `b` `[k, n]`: panel after panel, in each pair after pair, `pairs` of them; zeros beyond k.
///
/// # Safety
/// AVX-512F, BW and BF16 are there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_right(b: Matrix, pairs: usize, right: &mut Vec<u32>) {
    right.resize(pairs * b.cols.next_multiple_of(LANES), 0);
    for (index, panel) in right.chunks_mut(pairs * PANEL).enumerate() {
        // SAFETY: the processor is the caller's.
        unsafe { pack_panel(b, pairs, index * PANEL, panel) };
    }
}

/// Lays out the columns from `first` on, as many as a panel has.
///
/// # Safety
/// As above.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_panel(b: Matrix, pairs: usize, first: usize, panel: &mut [u32]) {
    let (k, n) = (b.rows, b.cols);
    let width = width(n - first);
    assert_eq!(panel.len(), pairs * width, "a panel has room for its columns");
    let from = b.data.as_ptr();
    let to = panel.as_mut_ptr();
    if b.col_stride == 1 {
        let there = k.div_ceil(2);
        panel[there * width..].fill(0);
        for pair in 0..there {
            for column in (0..width).step_by(LANES) {
                let columns = mask(n, first + column);
                // SAFETY: the rows are below k, columns beyond the last are masked; the panel was measured above.
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
            // SAFETY: columns beyond the last and pairs beyond k are left out; the panel was measured above.
            unsafe {
                let mut square: [__m512i; LANES] = std::array::from_fn(|j| {
                    let here = first + column + j;
                    let numbers = if here < n { k } else { 0 };
                    pairs_of_row(from.wrapping_add(here * b.col_stride), numbers, 2 * pair)
                });
                transpose(&mut square);
                for (row, paired) in square.iter().take(pairs - pair).enumerate() {
                    _mm512_storeu_si512(to.add((pair + row) * width + column).cast(), *paired);
                }
            }
        }
    }
}

/// Sixteen pairs of the `numbers` at `from`, from the number `at` on; zeros beyond.
///
/// # Safety
/// AVX-512F and BF16 are there, and so many numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn pairs_of_row(from: *const f32, numbers: usize, at: usize) -> __m512i {
    // SAFETY: what is beyond the numbers is masked.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(numbers, at), from.wrapping_add(at));
        let high = _mm512_maskz_loadu_ps(mask(numbers, at + LANES), from.wrapping_add(at + LANES));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Pairs of numbers that lie above each other: those at `low` and, if there is such a row, those `stride` further.
///
/// # Safety
/// AVX-512F, BW and BF16 are there, and what `which` leaves of the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn paired_rows(low: *const f32, stride: usize, both: bool, which: __mmask16) -> __m512i {
    /// Words 0 to 15 are the lower row's, 16 to 31 the upper's.
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
    // SAFETY: the caller's.
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

/// Lays out `a` `[m, k]`: row after row where it lies so; otherwise block after block, a pair of every row of a block
/// after the other. Returns how far apart rows are, and pairs, in a block of so many rows.
///
/// # Safety
/// AVX-512F, BW and BF16 are there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left(a: Matrix, left: &mut Vec<u32>) -> Layout {
    let (m, k) = (a.rows, a.cols);
    let pairs = k.div_ceil(2);
    reserve(left, m * pairs);
    if a.col_stride == 1 {
        // SAFETY: the processor is the caller's.
        unsafe { pack_rows(a, pairs, left) };
        return Layout::Rows;
    }
    let (from, to) = (a.data.as_ptr(), left.as_mut_ptr());
    for pair in 0..pairs {
        let mut row = 0;
        while row < m {
            let rows = block_rows(m - row);
            let which = mask(rows, 0);
            // SAFETY: pairs are below k, and rows beyond the block are masked.
            unsafe {
                let low = from.wrapping_add(2 * pair * a.col_stride + row);
                let paired = paired_rows(low, a.col_stride, 2 * pair + 1 < k, which);
                _mm512_mask_storeu_epi32(to.add(row * pairs + pair * rows).cast(), which, paired);
            }
            row += rows;
        }
    }
    Layout::Blocks
}

/// Lays out the rows of `a`, each in `pairs`, which are as many as its numbers take or more; zeros beyond.
///
/// # Safety
/// AVX-512F and BF16 are there, and numbers of a row lie together.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pack_rows(a: Matrix, pairs: usize, left: &mut [u32]) {
    assert!(left.len() >= a.rows * pairs, "there is room for all rows");
    let (from, to) = (a.data.as_ptr(), left.as_mut_ptr());
    for row in 0..a.rows {
        for pair in (0..pairs).step_by(LANES) {
            // SAFETY: rows are below m, and pairs beyond the last are masked.
            unsafe {
                let paired = pairs_of_row(from.wrapping_add(row * a.row_stride), a.cols, 2 * pair);
                _mm512_mask_storeu_epi32(to.add(row * pairs + pair).cast(), mask(pairs, pair), paired);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Rows,
    Blocks,
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished, where `right` holds b's panels.
///
/// # Safety
/// AVX-512F, BW and BF16 are there; `out` and a mask are `[m, n]`, a bias `[n]`, and `right` is whole.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn product(a: Matrix, right: &[u32], out: &mut [f32], n: usize, finish: Finish, left: &mut Vec<u32>) {
    let (m, pairs) = (a.rows, a.cols.div_ceil(2));
    // SAFETY: the processor is the caller's.
    let layout = unsafe { pack_left(a, left) };
    let out = out.as_mut_ptr();
    let mut first = 0;
    while first < n {
        let width = width(n - first);
        let place = Place {
            left: left.as_ptr(),
            layout,
            panel: right[first * pairs..(first + width) * pairs].as_ptr(),
            pairs,
            goal: Goal {
                first,
                columns: n,
                finish,
                ends: true,
            },
        };
        let mut row = 0;
        while row < m {
            let rows = block_rows(m - row);
            // SAFETY: rows stay below m and columns below n, where a mask leaves out what is beyond.
            unsafe {
                match (rows, width) {
                    (12, LANES) => place.block::<12, 1>(row, out),
                    (12, _) => place.block::<12, 2>(row, out),
                    (8, LANES) => place.block::<8, 1>(row, out),
                    (8, _) => place.block::<8, 2>(row, out),
                    (4, LANES) => place.block::<4, 1>(row, out),
                    (4, _) => place.block::<4, 2>(row, out),
                    (2, LANES) => place.block::<2, 1>(row, out),
                    (2, _) => place.block::<2, 2>(row, out),
                    (_, LANES) => place.block::<1, 1>(row, out),
                    _ => place.block::<1, 2>(row, out),
                }
            }
            row += rows;
        }
        first += width;
    }
}

/// A panel of columns and what belongs to it.
struct Place<'a> {
    left: *const u32,
    layout: Layout,
    panel: *const u32,
    pairs: usize,
    goal: Goal<'a>,
}

impl Place<'_> {
    /// `M` rows from `row` on, `V` vectors wide.
    ///
    /// # Safety
    /// AVX-512F and BF16 are there, and `row + M` is within both matrices.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn block<const M: usize, const V: usize>(&self, row: usize, out: *mut f32) {
        // SAFETY: the caller keeps `row + M` within both; loads of `panel` stay within `pairs · V · 16`, those of `left`
        // within `pairs · M` of the block.
        unsafe {
            let left = self.left.add(row * self.pairs);
            let sums = match self.layout {
                Layout::Rows => self.sums::<M, V>(left, self.pairs, 1),
                Layout::Blocks => self.sums::<M, V>(left, 1, M),
            };
            self.goal.write(&sums, row, out);
        }
    }

    /// # Safety
    /// As above; rows of `left` are `row_stride` apart, pairs `pair_stride`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn sums<const M: usize, const V: usize>(
        &self,
        left: *const u32,
        row_stride: usize,
        pair_stride: usize,
    ) -> [[__m512; V]; M] {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [self.goal.start::<V>(); M];
            let mut panel = self.panel;
            // As in the kernel for `f32`: pointers that do not wait for each other.
            let mut left: [*const u32; 4] = std::array::from_fn(|third| left.wrapping_add(3 * third * row_stride));
            for _ in 0..self.pairs {
                let b: [__m512bh; V] = std::array::from_fn(|v| {
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(panel.add(v * LANES).cast()))
                });
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(*left[i / 3].add((i % 3) * row_stride) as i32);
                    let x = std::mem::transmute::<__m512i, __m512bh>(x);
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_dpbf16_ps(*sum, x, b);
                    }
                }
                panel = panel.add(V * LANES);
                left = left.map(|left| left.wrapping_add(pair_stride));
            }
            sums
        }
    }
}
