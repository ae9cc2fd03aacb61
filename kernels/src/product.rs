//! Matrix products in `f32`: [`product`], and [`few_rows`] and [`sum_rows`] beside it.
//!
//! With AVX-512 [`product`] uses a kernel of this crate: the common libraries keep to 256-bit vectors on some of these
//! processors and are half as fast there. Elsewhere it uses the crate matrixmultiply.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod finish;
mod matrix;
mod unpacked;

pub use finish::Finish;
pub use matrix::Matrix;
pub use unpacked::{few_rows, sum_rows};

#[cfg(target_arch = "x86_64")]
thread_local! {
    /// Space for copies of the factors, kept between products.
    static SCRATCH: std::cell::RefCell<avx512::Scratch> = std::cell::RefCell::default();
}

/// `out [m, n] = a [m, k] · b [k, n]`, finished.
///
/// Each sum over k is taken in the same order whatever m is: a row of the result depends on no other row of `a`. The
/// order differs between processors with AVX-512 and others, and each multiplication and addition may be fused.
///
/// # Panics
/// When the shapes do not agree.
pub fn product(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish) {
    check_shapes(a, (b.rows, b.cols), out, finish);
    if out.is_empty() {
        return;
    }
    if b.cols == 1 && b.row_stride == 1 {
        unpacked::times_column(a, &b.data[..b.rows], out);
        finish.apply(out, 1);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F. Both matrices hold their elements (`Matrix`), and `check_shapes` compared
        // their shapes with each other and with `out` and `finish`.
        SCRATCH.with_borrow_mut(|scratch| unsafe { avx512::product(a, b, out, finish, scratch) });
        return;
    }
    portable(a, b, out, finish);
}

/// Panics unless `a`, a right factor `[k, n]`, `out` and `finish` fit each other.
pub(crate) fn check_shapes(a: Matrix, (k, n): (usize, usize), out: &[f32], finish: Finish) {
    assert_eq!(
        (a.cols, Some(out.len())),
        (k, a.rows.checked_mul(n)),
        "the shapes of a product agree"
    );
    finish.check(out.len(), n);
}

/// The same as [`product`] through the crate matrixmultiply.
fn portable(a: Matrix, b: Matrix, out: &mut [f32], finish: Finish) {
    let n = b.cols;
    let stride = |stride: usize| stride as isize;
    // SAFETY: both matrices hold their elements (`Matrix`), and `out` has m · n (`check_shapes`).
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.cols,
            n,
            1.0,
            a.data.as_ptr(),
            stride(a.row_stride),
            stride(a.col_stride),
            b.data.as_ptr(),
            stride(b.row_stride),
            stride(b.col_stride),
            0.0,
            out.as_mut_ptr(),
            stride(n),
            1,
        );
    }
    finish.apply(out, n);
}

#[cfg(test)]
pub(crate) mod tests;
