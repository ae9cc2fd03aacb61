//! The kernel for processors with AVX-512.
//!
//! Columns are taken in panels of 32 (or 16), copied so that they lie together; rows twelve at a time, whose 24 sums
//! stay in registers. Rows of a matrix that was turned are copied too, so that twelve of them lie together. Of sums over
//! many terms, so many are taken at once that their panel stays in the nearest cache; the order of terms is one all the same.

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _CMP_GT_OQ, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_ps, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{Finish, Matrix, reserve};

/// Numbers in a vector.
pub(super) const LANES: usize = 16;
const ROWS: usize = 12;
const THIRD_ROWS: usize = ROWS.div_ceil(3);
/// Terms of a sum whose panel of 32 columns fills two thirds of 48 KiB.
const TERMS: usize = 256;

/// Room for copies, kept between products.
#[derive(Default)]
pub(super) struct Room {
    /// Columns of the right side.
    panel: Vec<f32>,
    /// Rows of a left side that was turned.
    rows: Vec<f32>,
}

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
pub(super) unsafe fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish, room: &mut Room) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    let terms = TERMS.min(k).max(1);
    let mut from = 0;
    // Once at least: a sum of nothing is finished too.
    while from < k || from == 0 {
        let depth = terms.min(k - from);
        let is_turned = a.row_stride == 1 && a.col_stride > 1 && n > LANES;
        if is_turned {
            // SAFETY: rows and terms are within `a`.
            unsafe { pack_rows(a, from, depth, &mut room.rows) };
        }
        let mut first = 0;
        while first < n {
            let left = n - first;
            let width = if left > LANES { 2 * LANES } else { LANES };
            // SAFETY: columns and terms are within `b`.
            unsafe { pack(b, from..from + depth, first, left.min(width), width, &mut room.panel) };
            let place = Place {
                a: a.data.as_ptr().wrapping_add(from * a.col_stride),
                row_stride: a.row_stride,
                col_stride: a.col_stride,
                panel: room.panel.as_ptr(),
                depth,
                goal: Goal {
                    first,
                    columns: n,
                    finish,
                    ends: from + depth == k,
                },
                begins: from == 0,
            };
            let mut row = 0;
            // SAFETY: rows stay below m and columns below n, where a mask leaves out what is beyond.
            unsafe {
                while row < m {
                    let out = out.as_mut_ptr();
                    row += match (m - row, width) {
                        (ROWS.., _) if is_turned => {
                            let packed = Place {
                                // `row` is where its block begins.
                                a: room.rows.as_ptr().wrapping_add(row * depth).wrapping_sub(row),
                                row_stride: 1,
                                col_stride: ROWS,
                                ..place
                            };
                            match width {
                                LANES => packed.block::<ROWS, 1>(row, out),
                                _ => packed.block::<ROWS, 2>(row, out),
                            }
                        }
                        (ROWS.., LANES) => place.block::<ROWS, 1>(row, out),
                        (ROWS.., _) => place.block::<ROWS, 2>(row, out),
                        (8.., LANES) => place.block::<8, 1>(row, out),
                        (8.., _) => place.block::<8, 2>(row, out),
                        (4.., LANES) => place.block::<4, 1>(row, out),
                        (4.., _) => place.block::<4, 2>(row, out),
                        (_, LANES) => place.block::<1, 1>(row, out),
                        _ => place.block::<1, 2>(row, out),
                    };
                }
            }
            first += width;
        }
        from += terms;
    }
}

/// Copies `depth` terms of the rows of `a` that fill blocks to `room` `[blocks, depth, ROWS]`.
///
/// # Safety
/// AVX-512F is there; rows of `a` lie together, and it has such terms.
#[target_feature(enable = "avx512f")]
unsafe fn pack_rows(a: Matrix, from: usize, depth: usize, room: &mut Vec<f32>) {
    let blocks = a.rows / ROWS;
    reserve(room, blocks * depth * ROWS);
    for block in 0..blocks {
        for term in 0..depth {
            // SAFETY: twelve numbers of a row of terms, to their place.
            unsafe {
                let at = a.data.as_ptr().add((from + term) * a.col_stride + block * ROWS);
                let numbers = _mm512_maskz_loadu_ps((1 << ROWS) - 1, at);
                let to = room.as_mut_ptr().add((block * depth + term) * ROWS);
                _mm512_mask_storeu_ps(to, (1 << ROWS) - 1, numbers);
            }
        }
    }
}

/// Copies some terms of `used` columns of `b` to `panel` `[terms, width]`, zeros beyond.
///
/// # Safety
/// AVX-512F is there, and `b` has such terms and columns.
#[target_feature(enable = "avx512f")]
unsafe fn pack(
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
    if b.col_stride == 1 {
        let masks = [mask(used, 0), mask(used, LANES)];
        let mut from = b.data.as_ptr().wrapping_add(at(0, 0));
        let mut to = panel.as_mut_ptr();
        for _ in 0..depth {
            // SAFETY: columns beyond the last are masked; the panel has `width` numbers a term.
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
    // Terms of a column lie together: squares are turned in registers.
    let in_squares = if b.row_stride == 1 { depth / LANES * LANES } else { 0 };
    for vector in (0..width).step_by(LANES) {
        let is_square = used >= vector + LANES;
        for term in (0..if is_square { in_squares } else { 0 }).step_by(LANES) {
            // SAFETY: sixteen terms of sixteen columns, all of them used.
            unsafe {
                let mut square = [_mm512_setzero_si512(); LANES];
                for (column, numbers) in square.iter_mut().enumerate() {
                    *numbers = _mm512_loadu_si512(b.data.as_ptr().add(at(term, vector + column)).cast());
                }
                transpose(&mut square);
                for (row, numbers) in square.into_iter().enumerate() {
                    _mm512_storeu_si512(panel.as_mut_ptr().add((term + row) * width + vector).cast(), numbers);
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

/// Exchanges rows and columns of sixteen by sixteen numbers, or pairs of shorter ones.
///
/// # Safety
/// AVX-512F is there.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose(square: &mut [__m512i; LANES]) {
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
    // by_four[4 r + c] holds columns c, c + 4, c + 8, c + 12 of the rows 4 r to 4 r + 3: quarters are exchanged.
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

/// A panel of columns and what belongs to it.
#[derive(Clone, Copy)]
struct Place<'a> {
    a: *const f32,
    row_stride: usize,
    col_stride: usize,
    panel: *const f32,
    depth: usize,
    goal: Goal<'a>,
    /// Whether these are the first terms; otherwise sums go on from what is in the result.
    begins: bool,
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
            let mut sums: [[__m512; V]; M] = match self.begins {
                true => [self.goal.start::<V>(); M],
                false => std::array::from_fn(|i| self.goal.load::<V>(row + i, out)),
            };
            let mut panel = self.panel;
            // Pointers to every third row, whose neighbours are within reach of an address: one pointer that goes through all
            // rows makes each row wait for the one before, and takes longer than the products.
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
            // Handed over as a copy: sums whose address is known elsewhere are written to memory at every step of the loop,
            // unless the call happens to be inlined.
            let finished: [[__m512; V]; M] = std::array::from_fn(|i| std::array::from_fn(|v| sums[i][v]));
            self.goal.write(&finished, row, out);
        }
        M
    }
}

/// The columns of a result that blocks sum up, and what happens to the sums. The end of every kernel.
#[derive(Clone, Copy)]
pub(super) struct Goal<'a> {
    /// The first of them.
    pub(super) first: usize,
    /// Of the whole result.
    pub(super) columns: usize,
    pub(super) finish: Finish<'a>,
    /// Whether these are the last terms; otherwise sums are written as they are.
    pub(super) ends: bool,
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

    /// The sums of a row as they were written.
    ///
    /// # Safety
    /// AVX-512F is there, and `out` has `columns` numbers in each row up to this one.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load<const V: usize>(&self, row: usize, out: *const f32) -> [__m512; V] {
        let masks = self.masks::<V>();
        std::array::from_fn(|v| {
            let at = out.wrapping_add(row * self.columns + self.first + v * LANES);
            // SAFETY: columns beyond the last are masked.
            unsafe { _mm512_maskz_loadu_ps(masks[v], at) }
        })
    }

    /// Finishes the sums of `M` rows from `row` on, and writes them.
    ///
    /// # Safety
    /// AVX-512F is there; `out`, and a mask or factors, have `columns` numbers in each of `row + M` rows.
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
                        _ if !self.ends => *sum,
                        // In this order what is not a number stays none.
                        Finish::Bias { relu: true, .. } => _mm512_max_ps(_mm512_setzero_ps(), *sum),
                        Finish::Plain | Finish::Bias { .. } => *sum,
                        Finish::Times(factors) => {
                            let factors = factors.as_ptr().wrapping_add(at);
                            _mm512_mul_ps(*sum, _mm512_maskz_loadu_ps(masks[v], factors))
                        }
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
