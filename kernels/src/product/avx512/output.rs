//! Where the sums of a panel begin and end: [`Output`]. Every AVX-512 kernel of the crate, in `f32` or bfloat16, uses
//! it.

use std::arch::x86_64::{
    __m512, __mmask16, _CMP_GT_OQ, _mm512_cmp_ps_mask, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_setzero_ps,
};

use super::{Finish, sizes::LANES};

/// The mask of the lanes of a vector that begins at `first` and holds some of `columns` columns.
pub(crate) fn mask(columns: usize, first: usize) -> __mmask16 {
    match columns.saturating_sub(first) {
        0 => 0,
        left if left >= LANES => __mmask16::MAX,
        left => (1 << left) - 1,
    }
}

/// The columns of a result that a panel computes, and what happens to their sums.
#[derive(Clone, Copy)]
pub(crate) struct Output<'a> {
    /// The first of the columns.
    pub(crate) first: usize,
    /// The number of columns of the whole result.
    pub(crate) columns: usize,
    pub(crate) finish: Finish<'a>,
    /// Whether the last terms have been added. Otherwise sums are written unfinished.
    pub(crate) is_last: bool,
}

impl Output<'_> {
    fn masks<const V: usize>(&self) -> [__mmask16; V] {
        std::array::from_fn(|v| mask(self.columns, self.first + v * LANES))
    }

    /// The values at which the sums of a row begin: the bias or 0.
    ///
    /// # Safety
    /// The processor has AVX-512F, and a bias has `columns` values.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn initial_sums<const V: usize>(&self) -> [__m512; V] {
        let masks = self.masks::<V>();
        match self.finish {
            Finish::Bias { bias, .. } => std::array::from_fn(|v| {
                let at = bias.as_ptr().wrapping_add(self.first + v * LANES);
                // SAFETY: the bias has `columns` values, and lanes beyond are masked.
                unsafe { _mm512_maskz_loadu_ps(masks[v], at) }
            }),
            _ => [_mm512_setzero_ps(); V],
        }
    }

    /// The sums of a row as they were written unfinished.
    ///
    /// # Safety
    /// The processor has AVX-512F, and `out` has `columns` values in each row up to this one.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn load<const V: usize>(&self, row: usize, out: *const f32) -> [__m512; V] {
        let masks = self.masks::<V>();
        std::array::from_fn(|v| {
            let at = out.wrapping_add(row * self.columns + self.first + v * LANES);
            // SAFETY: the row lies within `out`, and lanes beyond its columns are masked.
            unsafe { _mm512_maskz_loadu_ps(masks[v], at) }
        })
    }

    /// Finishes the sums of `M` rows from `row` on and writes them.
    ///
    /// # Safety
    /// The processor has AVX-512F; `out`, and a mask or factors, have `columns` values in each of `row + M` rows.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(crate) unsafe fn write<const M: usize, const V: usize>(
        &self,
        sums: &[[__m512; V]; M],
        row: usize,
        out: *mut f32,
    ) {
        let masks = self.masks::<V>();
        for (i, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let at = (row + i) * self.columns + self.first + v * LANES;
                // SAFETY: the caller keeps `row + M` within `out` and within the matrix in `finish`, and lanes beyond
                // the columns are masked.
                unsafe {
                    let finished = match self.finish {
                        _ if !self.is_last => *sum,
                        // `max` returns its second argument if one is NaN: NaN stays.
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
