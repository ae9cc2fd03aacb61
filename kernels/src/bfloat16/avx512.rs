//! The bfloat16 product for processors with AVX512-BF16.
//!
//! `VDPBF16PS` adds two terms to each of sixteen sums in the time in which AVX-512 adds one. Both factors are packed
//! first ([`super::pack`]): the right one once for all products that share it, the left one in each product.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi32, _mm512_set1_epi32,
};

use super::pack::{pack_rows, paired_rows, panel_width};
use crate::{
    product::{
        Finish, Matrix,
        avx512::{LANES, Output, mask},
    },
    reserve,
};

/// Rows of the next block when `left` rows are left.
fn block_rows(left: usize) -> usize {
    match left {
        12.. => 12,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// How a left factor is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Row after row.
    Rows,
    /// Block after block, and in a block pair after pair, each of all rows.
    Blocks,
}

/// Lays out `a` `[m, k]`: by rows where its rows are contiguous, otherwise by blocks.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left(a: Matrix, left: &mut Vec<u32>) -> Layout {
    let (m, k) = (a.rows, a.cols);
    let pairs = k.div_ceil(2);
    reserve(left, m * pairs);
    if a.has_contiguous_rows() {
        // SAFETY: the processor is the caller's, and `pairs` holds k.
        unsafe { pack_rows(a, pairs, left) };
        return Layout::Rows;
    }
    let (from, to) = (a.data.as_ptr(), left.as_mut_ptr());
    for pair in 0..pairs {
        let mut row = 0;
        while row < m {
            let rows = block_rows(m - row);
            let which = mask(rows, 0);
            // SAFETY: column 2 · pair is below k, and the next is read only if it is too; lanes beyond the block's rows
            // are masked. The block's space, `rows · pairs` from `row · pairs` on, was reserved above.
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

/// `out [m, n] = a [m, k] · b [k, n]`, finished, where `right` is `b` packed.
///
/// # Safety
/// The processor has AVX-512F, BW and BF16; `right` has k / 2 pairs, rounded up, of n columns; `out` and a mask or
/// factors in `finish` are `[m, n]`, and a bias is `[n]`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn product(a: Matrix, right: &[u32], out: &mut [f32], n: usize, finish: Finish, left: &mut Vec<u32>) {
    let (m, pairs) = (a.rows, a.cols.div_ceil(2));
    // SAFETY: the processor is the caller's.
    let layout = unsafe { pack_left(a, left) };
    let out = out.as_mut_ptr();
    let mut first = 0;
    while first < n {
        let width = panel_width(n - first);
        let panel = Panel {
            left: left.as_ptr(),
            layout,
            panel: right[first * pairs..(first + width) * pairs].as_ptr(),
            pairs,
            output: Output {
                first,
                columns: n,
                finish,
                is_last: true,
            },
        };
        let mut row = 0;
        while row < m {
            let rows = block_rows(m - row);
            // SAFETY: `row + rows` is at most m, and `left` holds m rows in blocks of these sizes; `panel` has `width`
            // columns, which is 16 times the second parameter.
            unsafe {
                match (rows, width) {
                    (12, LANES) => panel.block::<12, 1>(row, out),
                    (12, _) => panel.block::<12, 2>(row, out),
                    (8, LANES) => panel.block::<8, 1>(row, out),
                    (8, _) => panel.block::<8, 2>(row, out),
                    (4, LANES) => panel.block::<4, 1>(row, out),
                    (4, _) => panel.block::<4, 2>(row, out),
                    (2, LANES) => panel.block::<2, 1>(row, out),
                    (2, _) => panel.block::<2, 2>(row, out),
                    (_, LANES) => panel.block::<1, 1>(row, out),
                    _ => panel.block::<1, 2>(row, out),
                }
            }
            row += rows;
        }
        first += width;
    }
}

/// The sums of a panel of columns.
struct Panel<'a> {
    /// The packed left factor.
    left: *const u32,
    layout: Layout,
    /// The packed columns of the right factor.
    panel: *const u32,
    pairs: usize,
    output: Output<'a>,
}

impl Panel<'_> {
    /// Computes `M` rows from `row` on, `V` vectors wide.
    ///
    /// # Safety
    /// The processor has AVX-512F, BW and BF16; `row + M` is at most the number of rows of `left` and `out`, a block of
    /// `left` begins at `row` and has `M` rows, and the panel has `pairs` rows of `V` vectors.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn block<const M: usize, const V: usize>(&self, row: usize, out: *mut f32) {
        // SAFETY: the caller keeps `row + M` within both; reads of `panel` stay within `pairs · V · 16`, those of
        // `left` within the `pairs · M` of the block.
        unsafe {
            let left = self.left.add(row * self.pairs);
            let sums = match self.layout {
                Layout::Rows => self.sums::<M, V>(left, self.pairs, 1),
                Layout::Blocks => self.sums::<M, V>(left, 1, M),
            };
            self.output.write(&sums, row, out);
        }
    }

    /// The sums of `M` rows of `left`, which lie `row_stride` apart, their pairs `pair_stride`.
    ///
    /// # Safety
    /// As for [`Panel::block`].
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
            let mut sums = [self.output.initial_sums::<V>(); M];
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
