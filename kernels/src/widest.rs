//! Compiling code for the widest vectors of the processor: [`widest`].

/// Calls `f`, compiled for AVX-512F or else AVX2, where the processor has either, and otherwise for the build's target.
///
/// The compiler never fuses or reorders floating-point operations, so the result is the same to the bit either way.
///
/// What is to use wide vectors must be inlined into this function. Mark the closure and every function that it calls
/// `#[inline(always)]`; without that the compiler decides, and a large closure may stay in narrow vectors. Hand slices
/// on as arguments of such a function: a closure's captures do not tell the compiler that slices do not overlap.
///
/// ```
/// #[inline(always)]
/// fn scale_by(factor: f32, values: &mut [f32]) {
///     values.iter_mut().for_each(|value| *value *= factor);
/// }
/// let mut values = [1.0, 2.0, 3.0];
/// sac_kernels::widest(#[inline(always)] || scale_by(2.0, &mut values));
/// assert_eq!(values, [2.0, 4.0, 6.0]);
/// ```
#[inline(always)]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            return unsafe { with_avx512(f) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { with_avx2(f) };
        }
    }
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}
