//! What happens to a product before it is written: [`Finish`].

/// An operation on each element of a product, before it is written.
#[derive(Clone, Copy, Debug)]
pub enum Finish<'a> {
    /// None.
    Plain,
    /// Adds a bias per column; with `relu`, then replaces what is below 0 by 0.
    Bias {
        /// One value per column.
        bias: &'a [f32],
        /// Whether max(x, 0) follows.
        relu: bool,
    },
    /// Replaces elements by 0 where this matrix, laid out like the result, is not above 0. That is the backward pass of
    /// ReLU, given its output.
    WherePositive(&'a [f32]),
    /// Multiplies by the element at the same place of this matrix, laid out like the result.
    Times(&'a [f32]),
}

impl Finish<'_> {
    /// Finishes a result `[m, n]` that was written unfinished.
    ///
    /// # Panics
    /// When the lengths do not fit the result.
    pub fn apply(self, out: &mut [f32], n: usize) {
        assert!(
            out.is_empty() || (n > 0 && out.len().is_multiple_of(n)),
            "a result has whole rows"
        );
        if out.is_empty() {
            return;
        }
        self.check(out.len(), n);
        match self {
            Finish::Plain => {}
            Finish::Bias { bias, relu } => {
                let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
                for row in out.chunks_exact_mut(n) {
                    for (x, bias) in row.iter_mut().zip(bias) {
                        let sum = *x + bias;
                        *x = if sum < floor { floor } else { sum }; // NaN is not below anything, and stays
                    }
                }
            }
            Finish::Times(factors) => out.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor),
            Finish::WherePositive(mask) => {
                for (x, mask) in out.iter_mut().zip(mask) {
                    *x = if *mask > 0.0 { *x } else { 0.0 };
                }
            }
        }
    }

    /// Panics unless there is one bias per column of a result with `n` columns, and one factor or mask for each of its
    /// `len` values.
    pub(crate) fn check(self, len: usize, n: usize) {
        match self {
            Finish::Bias { bias, .. } => assert_eq!(bias.len(), n, "one bias per column"),
            Finish::WherePositive(mask) => assert_eq!(mask.len(), len, "one mask value per result"),
            Finish::Times(factors) => assert_eq!(factors.len(), len, "one factor per result"),
            Finish::Plain => {}
        }
    }
}
