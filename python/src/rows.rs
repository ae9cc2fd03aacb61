//! [`Rows`]: an array of NumPy whose numbers are read and written in place.

use pyo3::prelude::*;

use crate::errors::broken;

/// A contiguous array of `T`, which the package made and nobody else changes while a call runs.
pub struct Rows<T> {
    /// Keeps the memory alive. NumPy does not move an array to which there is a reference.
    _array: Py<PyAny>,
    start: *mut T,
    len: usize,
}

// SAFETY: the memory belongs to the array, not to a thread.
unsafe impl<T: Send> Send for Rows<T> {}
// SAFETY: a shared reference gives no access to the numbers.
unsafe impl<T: Sync> Sync for Rows<T> {}

/// Types of numbers, with NumPy's name.
pub trait Number: Copy {
    /// As in `dtype.str`.
    const DTYPE: &str;
}

impl Number for f32 {
    const DTYPE: &str = "<f4";
}

impl Number for f64 {
    const DTYPE: &str = "<f8";
}

impl Number for u8 {
    const DTYPE: &str = "|u1";
}

impl<T: Number> Rows<T> {
    /// The numbers of an array of this length.
    ///
    /// # Errors
    /// For another type, another length, and an array that is not contiguous or cannot be written.
    pub fn of(array: &Bound<'_, PyAny>, len: usize) -> PyResult<Self> {
        let dtype: String = array.getattr("dtype")?.getattr("str")?.extract()?;
        let size: usize = array.getattr("size")?.extract()?;
        let flags = array.getattr("flags")?;
        let is_plain = flags.getattr("c_contiguous")?.extract::<bool>()? && flags.getattr("writeable")?.extract()?;
        if dtype != T::DTYPE || size != len || !is_plain {
            return Err(broken(&format!("an array of {size} {dtype} for {len} {}", T::DTYPE)));
        }
        let address: usize = array.getattr("ctypes")?.getattr("data")?.extract()?;
        Ok(Rows {
            _array: array.clone().unbind(),
            start: address as *mut T,
            len,
        })
    }

    /// The numbers.
    pub fn get(&mut self) -> &mut [T] {
        // SAFETY: `of` checked type and length; the array is alive, and `&mut self` keeps other calls away. An empty array
        // may have any address that is not null.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}
