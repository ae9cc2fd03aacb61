//! The `f32` product for processors with AVX-512.
//!
//! The columns of `b` are taken in panels of 32 (or 16), copied so that they lie together. Rows of `a` are taken twelve
//! at a time: their 24 vectors of sums stay in registers. Rows of a transposed `a` are copied too, so that twelve of
//! them lie together. Long sums are cut so that a panel stays in the L1 cache; the order of terms stays the same.

mod output;
mod pack;
mod sizes;

use std::arch::x86_64::{__m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps};

pub(crate) use output::{Output, mask};
pub(crate) use pack::transpose;

pub(crate) use sizes::LANES;

use super::{Finish, Matrix};
use sizes::ROWS;

const THIRD_ROWS: usize = ROWS.div_ceil(3);
/// Terms of a sum that are taken at once: their panel of 32 columns fills two thirds of 48 KiB.
const TERMS: usize = 256;

/// Space for copies, kept between products.
#[derive(Default)]
pub(crate) struct Scratch {
    /// A panel of the right factor, `[terms, width]`.
    panel: Vec<f32>,
    /// The rows of a transposed left factor that fill whole blocks, `[blocks, terms, ROWS]`.
    rows: Vec<f32>,
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished.
///
/// # Safety
/// The processor has AVX-512F; `a` is `[m, k]`, `b` is `[k, n]`, `out` and a mask or factors in `finish` are `[m, n]`,
/// and a bias is `[n]`.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish, scratch: &mut Scratch) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let terms = TERMS.min(k).max(1);
    let mut from = 0;
    // At least once: an empty sum is finished too.
    while from < k || from == 0 {
        let depth = terms.min(k - from);
        let is_transposed = a.row_stride == 1 && a.col_stride > 1 && n > LANES;
        if is_transposed {
            // SAFETY: `from + depth` is at most k, and `row_stride` is 1.
            unsafe { pack::pack_rows(a, from, depth, &mut scratch.rows) };
        }
        let mut first = 0;
        while first < n {
            let left = n - first;
            let width = if left > LANES { 2 * LANES } else { LANES };
            // SAFETY: these terms are below k, and `left.min(width)` columns from `first` on are below n.
            unsafe { pack::pack_panel(b, from..from + depth, first, left.min(width), width, &mut scratch.panel) };
            let panel = Panel {
                a: a.data.as_ptr().wrapping_add(from * a.col_stride),
                row_stride: a.row_stride,
                col_stride: a.col_stride,
                panel: scratch.panel.as_ptr(),
                depth,
                output: Output {
                    first,
                    columns: n,
                    finish,
                    is_last: from + depth == k,
                },
                is_first: from == 0,
            };
            let mut row = 0;
            // SAFETY: each arm takes at most `m - row` rows. The panel was packed with `width` columns, which is 16
            // times the second parameter of each arm. `scratch.rows` holds every block of twelve rows that starts at a
            // multiple of twelve, and blocks of twelve come first.
            unsafe {
                while row < m {
                    let out = out.as_mut_ptr();
                    row += match (m - row, width) {
                        (ROWS.., _) if is_transposed => {
                            let packed = Panel {
                                // `Panel::block` adds `row`, times a stride of 1; the block begins at `row · depth`.
                                a: scratch.rows.as_ptr().wrapping_add(row * depth).wrapping_sub(row),
                                row_stride: 1,
                                col_stride: ROWS,
                                ..panel
                            };
                            match width {
                                LANES => packed.block::<ROWS, 1>(row, out),
                                _ => packed.block::<ROWS, 2>(row, out),
                            }
                        }
                        (ROWS.., LANES) => panel.block::<ROWS, 1>(row, out),
                        (ROWS.., _) => panel.block::<ROWS, 2>(row, out),
                        (8.., LANES) => panel.block::<8, 1>(row, out),
                        (8.., _) => panel.block::<8, 2>(row, out),
                        (4.., LANES) => panel.block::<4, 1>(row, out),
                        (4.., _) => panel.block::<4, 2>(row, out),
                        (_, LANES) => panel.block::<1, 1>(row, out),
                        _ => panel.block::<1, 2>(row, out),
                    };
                }
            }
            first += width;
        }
        from += terms;
    }
}

/// Some terms of the sums of a panel of columns.
#[derive(Clone, Copy)]
struct Panel<'a> {
    /// The left factor, from the first of the terms on.
    a: *const f32,
    row_stride: usize,
    col_stride: usize,
    /// The packed columns of the right factor.
    panel: *const f32,
    /// How many terms.
    depth: usize,
    output: Output<'a>,
    /// Whether these are the first terms of the sums. Otherwise the sums so far are in the result.
    is_first: bool,
}

impl Panel<'_> {
    /// Computes `M` rows from `row` on, `V` vectors wide. Returns M.
    ///
    /// # Safety
    /// The processor has AVX-512F; `row + M` is at most the number of rows of `a` and `out`; `a` has `depth` terms from
    /// here on, and the panel has `depth` rows of `V` vectors.
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const M: usize, const V: usize>(&self, row: usize, out: *mut f32) -> usize {
        // SAFETY: the caller keeps `row + M` within `a` and `out`, and reads of `panel` stay within `depth · V · 16`.
        unsafe {
            let mut sums: [[__m512; V]; M] = match self.is_first {
                true => [self.output.initial_sums::<V>(); M],
                false => std::array::from_fn(|i| self.output.load::<V>(row + i, out)),
            };
            let mut panel = self.panel;
            // Pointers to every third row; its two neighbours are within reach of an address. With a single pointer
            // that walks through all rows, each row waits for the one before, and that takes longer than the
            // arithmetic.
            let mut a: [*const f32; THIRD_ROWS] =
                std::array::from_fn(|third| self.a.wrapping_add((row + 3 * third) * self.row_stride));
            for _ in 0..self.depth {
                let b: [_; V] = std::array::from_fn(|v| _mm512_loadu_ps(panel.add(v * LANES)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a[i / 3].add((i % 3) * self.row_stride));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_fmadd_ps(x, b, *sum);
                    }
                }
                panel = panel.add(V * LANES);
                a = a.map(|a| a.wrapping_add(self.col_stride));
            }
            // Written from a copy. Sums whose address is known elsewhere go to memory in every turn of the loop, unless
            // `write` happens to be inlined.
            let finished: [[__m512; V]; M] = std::array::from_fn(|i| std::array::from_fn(|v| sums[i][v]));
            self.output.write(&finished, row, out);
        }
        M
    }
}
