//! Sizes that the kernel and the code that copies for it share.

/// `f32` values in a vector.
pub(crate) const LANES: usize = 16;
/// Rows of a block.
pub(super) const ROWS: usize = 12;
