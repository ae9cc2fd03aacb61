//! One quantity of all rows in contiguous memory: [`Column`].

use sac_envs::Dtype;

use crate::{
    checkpoint::Section,
    error::{Error, Result},
    process,
};

/// One quantity of all rows, `width` numbers per row.
pub(super) struct Column {
    name: &'static str,
    width: usize,
    data: Data,
}

enum Data {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

/// A vector of zeros whose pages are all touched. The pages of `vec![0; n]` would be allocated at their first use.
pub(super) fn touched<T: Copy>(count: usize, zero: T) -> Vec<T> {
    let mut data = Vec::with_capacity(count);
    process::use_huge_pages(data.spare_capacity_mut());
    data.resize(count, std::hint::black_box(zero));
    data
}

impl Column {
    pub(super) fn new(name: &'static str, width: usize, capacity: usize, dtype: Dtype) -> Self {
        let data = match dtype {
            Dtype::F32 | Dtype::I32 => Data::F32(touched(width * capacity, 0.0)),
            Dtype::U8 => Data::U8(touched(width * capacity, 0)),
        };
        Column { name, width, data }
    }

    pub(super) fn write(&mut self, row: usize, values: &[f32]) {
        let span = row * self.width..(row + 1) * self.width;
        match &mut self.data {
            Data::F32(data) => data[span].copy_from_slice(values),
            // Values of a space of bytes are integers from 0 to 255.
            Data::U8(data) => data[span]
                .iter_mut()
                .zip(values)
                .for_each(|(byte, value)| *byte = *value as u8),
        }
    }

    /// The values of a row of `f32`.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        match &self.data {
            Data::F32(data) => &data[row * self.width..(row + 1) * self.width],
            Data::U8(_) => unreachable!("only columns of f32 are read by row"),
        }
    }

    /// The values of a row of `f32`, for writing.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        match &mut self.data {
            Data::F32(data) => &mut data[row * self.width..(row + 1) * self.width],
            Data::U8(_) => unreachable!("only columns of f32 are written by row"),
        }
    }

    /// Prefetches a row of `f32`.
    #[inline(always)]
    pub(super) fn prefetch(&self, row: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            const NUMBERS_PER_LINE: usize = 16;
            let values = self.row(row);
            let lines = values.chunks(NUMBERS_PER_LINE).map(<[f32]>::as_ptr);
            // A row usually starts in the middle of a cache line, so it extends into one more line.
            for value in lines.chain(values.last().map(std::ptr::from_ref)) {
                // SAFETY: a prefetch has no effect that the program can observe.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(value.cast()) };
            }
        }
    }

    /// Copies rows into `out` `[indices.len(), width]`.
    pub(super) fn gather(&self, indices: &[usize], out: &mut [f32]) {
        assert_eq!(
            out.len(),
            indices.len() * self.width,
            "the buffer has room for the batch"
        );
        for (out, row) in out.chunks_exact_mut(self.width).zip(indices) {
            let span = row * self.width..(row + 1) * self.width;
            match &self.data {
                Data::F32(data) => out.copy_from_slice(&data[span]),
                Data::U8(data) => out
                    .iter_mut()
                    .zip(&data[span])
                    .for_each(|(out, byte)| *out = f32::from(*byte)),
            }
        }
    }

    pub(super) fn save<'a>(&'a self, rows: usize, section: &mut Section<'a>) {
        let shape = [rows, self.width];
        match &self.data {
            Data::F32(data) => section.put_rows(self.name, &shape, &data[..rows * self.width]),
            Data::U8(data) => section.put_rows(self.name, &shape, &data[..rows * self.width]),
        }
    }

    pub(super) fn load(&mut self, rows: usize, section: &Section) -> Result<()> {
        let count = match &mut self.data {
            Data::F32(data) => section.copy_to(self.name, data)?,
            Data::U8(data) => section.copy_to(self.name, data)?,
        };
        if count != rows * self.width {
            let problem = format!(
                "column `{}` holds {count} numbers, expected {rows} × {}",
                self.name, self.width
            );
            return Err(Error::section("replay", problem));
        }
        match &self.data {
            Data::F32(data) if data[..count].iter().any(|number| number.is_nan()) => Err(section.holds_nan(self.name)),
            _ => Ok(()),
        }
    }
}
