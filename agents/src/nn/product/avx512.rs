//! The kernel for processors with AVX-512.
//!
//! Columns are taken in panels of 32 (or 16), copied so that they lie together; rows twelve at a time, whose 24 sums
//! stay in registers.

use std::arch::x86_64::{
    __m512, __mmask16, _CMP_GT_OQ, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use super::{Finish, Matrix};

/// Numbers in a vector.
pub(super) const LANES: usize = 16;
const ROWS: usize = 12;

/// Which of the `columns` from `first` on a vector holds.
pub(super) fn mask(columns: usize, first: usize) -> __mmask16 {
    match columns.saturating_sub(first) {
        0 => 0,
        left if left >= LANES => __mmask16::MAX,
        left => (1 << left) - 1,
    }
}

/// # Safety
/// AVX-512F is there; `a` is `[m, k]`, `b` `[k, n]`, `out` and a mask `[m, n]`, a bias `[n]`.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish, panel: &mut Vec<f32>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let mut first = 0;
    while first < n {
        let left = n - first;
        let width = if left > LANES { 2 * LANES } else { LANES };
        pack(b, first, left.min(width), width, panel);
        let place = Place {
            a: a.data.as_ptr(),
            row_stride: a.row_stride,
            col_stride: a.col_stride,
            panel: panel.as_ptr(),
            depth: k,
            goal: Goal {
                first,
                columns: n,
                finish,
            },
        };
        let mut row = 0;
        // SAFETY: rows stay below m and columns below n, where a mask leaves out what is beyond.
        unsafe {
            while row < m {
                let out = out.as_mut_ptr();
                row += match (m - row, width) {
                    (ROWS.., LANES) => place.block::<ROWS, 1>(row, out),
                    (ROWS.., _) => place.block::<ROWS, 2>(row, out),
                    (4.., LANES) => place.block::<4, 1>(row, out),
                    (4.., _) => place.block::<4, 2>(row, out),
                    (_, LANES) => place.block::<1, 1>(row, out),
                    _ => place.block::<1, 2>(row, out),
                };
            }
        }
        first += width;
    }
}

/// Copies `used` columns of `b` to `panel` `[k, width]`, zeros beyond.
fn pack(b: Matrix, first: usize, used: usize, width: usize, panel: &mut Vec<f32>) {
    panel.resize(b.rows * width, 0.0);
    if b.col_stride == 1 {
        for (index, row) in panel.chunks_exact_mut(width).enumerate() {
            let start = index * b.row_stride + first;
            row[..used].copy_from_slice(&b.data[start..start + used]);
            row[used..].fill(0.0);
        }
        return;
    }
    for column in 0..width {
        let numbers = panel[column..].iter_mut().step_by(width);
        if column >= used {
            numbers.for_each(|number| *number = 0.0);
            continue;
        }
        let start = (first + column) * b.col_stride;
        numbers
            .zip(b.data[start..].iter().step_by(b.row_stride))
            .for_each(|(number, from)| *number = *from);
    }
}

/// A panel of columns and what belongs to it.
struct Place<'a> {
    a: *const f32,
    row_stride: usize,
    col_stride: usize,
    panel: *const f32,
    depth: usize,
    goal: Goal<'a>,
}

impl Place<'_> {
    /// `M` rows from `row` on, `V` vectors wide. Returns M.
    ///
    /// # Safety
    /// AVX-512F is there, and `row + M` is within both matrices.
    #[target_feature(enable = "avx512f")]
    unsafe fn block<const M: usize, const V: usize>(&self, row: usize, out: *mut f32) -> usize {
        // SAFETY: the caller keeps `row + M` within `a` and `out`; loads of `panel` stay within `depth · V · 16`.
        unsafe {
            let mut sums = [self.goal.start::<V>(); M];
            let mut a = self.a.add(row * self.row_stride);
            let mut panel = self.panel;
            for _ in 0..self.depth {
                let b: [_; V] = std::array::from_fn(|v| _mm512_loadu_ps(panel.add(v * LANES)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(i * self.row_stride));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_fmadd_ps(x, b, *sum);
                    }
                }
                panel = panel.add(V * LANES);
                a = a.wrapping_add(self.col_stride);
            }
            // Handed over as a copy: sums whose address is known elsewhere are written to memory at every step of the loop,
            // unless the call happens to be inlined.
            let finished: [[__m512; V]; M] = std::array::from_fn(|i| std::array::from_fn(|v| sums[i][v]));
            self.goal.write(&finished, row, out);
        }
        M
    }
}

/// The columns of a result that blocks sum up, and what happens to the sums. The end of every kernel.
pub(super) struct Goal<'a> {
    /// The first of them.
    pub(super) first: usize,
    /// Of the whole result.
    pub(super) columns: usize,
    pub(super) finish: Finish<'a>,
}

impl Goal<'_> {
    fn masks<const V: usize>(&self) -> [__mmask16; V] {
        std::array::from_fn(|v| mask(self.columns, self.first + v * LANES))
    }

    /// What the sums of a row begin with.
    ///
    /// # Safety
    /// AVX-512F is there, and a bias has `columns` numbers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn start<const V: usize>(&self) -> [__m512; V] {
        let masks = self.masks::<V>();
        match self.finish {
            Finish::Bias { bias, .. } => std::array::from_fn(|v| {
                let at = bias.as_ptr().wrapping_add(self.first + v * LANES);
                // SAFETY: columns beyond the last are masked.
                unsafe { _mm512_maskz_loadu_ps(masks[v], at) }
            }),
            _ => [_mm512_setzero_ps(); V],
        }
    }

    /// Finishes the sums of `M` rows from `row` on, and writes them.
    ///
    /// # Safety
    /// AVX-512F is there; `out`, and a mask, have `columns` numbers in each of `row + M` rows.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn write<const M: usize, const V: usize>(
        &self,
        sums: &[[__m512; V]; M],
        row: usize,
        out: *mut f32,
    ) {
        let masks = self.masks::<V>();
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = (row + i) * self.columns + self.first + v * LANES;
                // SAFETY: the caller keeps rows within both matrices, and columns beyond the last are masked.
                unsafe {
                    let finished = match self.finish {
                        // In this order what is not a number stays none.
                        Finish::Bias { relu: true, .. } => _mm512_max_ps(_mm512_setzero_ps(), *sum),
                        Finish::Plain | Finish::Bias { .. } => *sum,
                        Finish::WherePositive(positive) => {
                            let there = _mm512_maskz_loadu_ps(masks[v], positive.as_ptr().wrapping_add(at));
                            let keep = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(there, _mm512_setzero_ps());
                            _mm512_maskz_mov_ps(keep, *sum)
                        }
                    };
                    _mm512_mask_storeu_ps(out.wrapping_add(at), masks[v], finished);
                }
            }
        }
    }
}
