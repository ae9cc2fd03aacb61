//! A matrix within a slice: [`Matrix`].

/// A read-only view of a slice as a matrix, as it lies or transposed.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// From the first element on. Holds every element: that is the invariant that kernels rely on when they read
    /// through pointers.
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// How far apart neighbouring rows lie in `data`. This or `col_stride` is 1.
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `data` as a matrix `[rows, cols]`, row after row.
    ///
    /// # Panics
    /// When `data` has not `rows · cols` values.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(
            Some(data.len()),
            rows.checked_mul(cols),
            "a matrix has rows · cols values"
        );
        Matrix {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// The number of columns.
    pub fn columns(self) -> usize {
        self.cols
    }

    /// The number of terms of each sum if this is the right factor of a product: its rows.
    pub fn depth(self) -> usize {
        self.rows
    }

    /// `count` rows from `first` on.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn rows(self, first: usize, count: usize) -> Self {
        assert!(
            first <= self.rows && count <= self.rows - first,
            "rows {first} to {first} + {count} of {}",
            self.rows
        );
        Matrix {
            data: self.data.get(first * self.row_stride..).unwrap_or_default(),
            rows: count,
            ..self
        }
    }

    /// The transposed matrix, on the same values.
    pub fn transposed(self) -> Self {
        Matrix {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Whether the values of a row lie together.
    pub(crate) fn has_contiguous_rows(self) -> bool {
        self.col_stride == 1
    }
}
