//! Normalisation over slices, forward and backward: of columns, as batch normalisation does it ([`columns`]), and of
//! rows, as layer and RMS normalisation do it ([`rows`]).
//!
//! Matrices are `[B, n]`, row after row. Backward passes replace the gradient with respect to the outputs by the one
//! with respect to the inputs.

pub mod columns;
pub mod rows;

/// Asserts that a matrix of `len` values has whole rows of `width` values.
fn check_rows(len: usize, width: usize) {
    assert!(width > 0 && len.is_multiple_of(width), "rows have {width} values each");
}

/// What is below `floor` becomes `floor`; NaN stays NaN.
#[inline(always)]
fn at_least(floor: f32, x: f32) -> f32 {
    if x < floor { floor } else { x }
}

/// The lowest output: 0 with a ReLU, and otherwise none.
fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

#[cfg(test)]
mod tests;
