//! What an operation takes: [`Input`].

/// A value with its shape for one observation.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub data: &'a [f32],
    pub shape: &'a [usize],
}

impl Input<'_> {
    /// Number of numbers for one observation.
    pub fn len(self) -> usize {
        self.shape.iter().product()
    }

    /// Extent of the last dimension.
    pub fn last(self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}
