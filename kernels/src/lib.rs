//! Fast `f32` kernels for small neural networks on a CPU: everything that an update of a few layers of a few hundred
//! units needs, over plain slices.
//!
//! | Module | What |
//! |---|---|
//! | [`product`] | matrix products in `f32`, with bias, ReLU or its derivative applied to the result |
//! | [`bfloat16`] | the same with factors rounded to bfloat16 |
//! | [`Activation`] | activation functions and their derivatives |
//! | [`norm`] | normalisation of columns and of rows, forward and backward |
//! | [`elementary`] | exp, tanh, … that the compiler can turn into vector code |
//! | [`AdamStep`], [`polyak()`] | an optimiser's step; averaging of target parameters |
//! | [`ThreadPool`] | threads that share the items of a piece of work |
//! | [`widest`] | compiles a closure for the widest vectors of the processor |
//!
//! ```
//! use sac_kernels::product::{Finish, Matrix, product};
//!
//! // h [2, 2] = relu(x [2, 3] · W [3, 2] + bias [2])
//! let x = [1.0, 2.0, 3.0, -1.0, 0.0, 1.0];
//! let weight = [1.0, 0.0, 0.0, 1.0, 1.0, -1.0];
//! let finish = Finish::Bias { bias: &[0.5, 0.5], relu: true };
//! let mut h = [0.0; 4];
//! product(Matrix::new(&x, 2, 3), Matrix::new(&weight, 3, 2), &mut h, finish);
//! assert_eq!(h, [4.5, 0.0, 0.5, 0.0]);
//! ```
//!
//! # Data layout
//!
//! A matrix `[rows, cols]` is a slice of `rows · cols` values, row after row, without gaps; [`product::Matrix`] reads
//! it as it lies or transposed. A layer maps `x [B, in]` to `x · W`, so its weights are `W [in, out]`. No alignment is
//! needed. Results are written over what the output slice holds; inputs and outputs never overlap.
//!
//! # Processors
//!
//! What is used is decided while the program runs, by what the processor has.
//!
//! | | with AVX-512F | with AVX2 and FMA | other |
//! |---|---|---|---|
//! | [`product::product`] | a kernel of this crate, 512 bits | the crate matrixmultiply, 256 bits | the crate matrixmultiply |
//! | a product with one column, [`product::few_rows`], [`product::sum_rows`], activations, [`norm`], Adam, Polyak | compiled for 512 bits | compiled for 256 bits | compiled for the build's target |
//! | [`bfloat16`] | AMX or AVX512-BF16, where there is either | no | no |
//!
//! Bfloat16 pays where it is served ([`bfloat16::Bfloat16::serves`]), and needs AVX-512BW beside its own instructions.
//!
//! # Exactness
//!
//! - Every function gives the same bits for the same input on the same processor, whatever the number of threads and
//!   however a pass is cut up: a row of a product depends on no other row.
//! - Except for products, it gives the same bits on every processor: nothing is fused and nothing is reordered. That
//!   includes [`product::few_rows`] and products with one column. (The constants of an Adam step come from the
//!   platform's `powf`, in `f64`.)
//! - Other products take their sums in an order that depends on the kernel, and may fuse a multiplication with an
//!   addition. They differ from the exact product as sums in `f32` do: by some 10⁻⁷ of the terms.
//! - [`elementary`] states the errors of its functions.
//! - NaN stays NaN through every function, so that divergence shows. Subnormal numbers are kept, except that moments
//!   of Adam below 10⁻³⁵ become 0, and that bfloat16 instructions read them as 0.
//!
//! # State
//!
//! Nothing is process-wide: the number of threads is that of the [`ThreadPool`] that is passed, and rounding to
//! bfloat16 happens where a [`bfloat16::Packed`] is passed. A thread keeps the scratch space of its products until it
//! ends.
//!
//! # Panics
//!
//! Functions panic when the lengths of slices do not fit each other, and for no values.
//!
//! # Unsafe code
//!
//! Vector instructions, the pointer to a closure that workers share, and the call of matrixmultiply are `unsafe`. Every
//! safe function checks the lengths on which they rely.
//!
//! ```text
//! cargo bench -p sac-kernels                                   # how long everything takes
//! cargo rustc -p sac-kernels --release --lib -- --emit asm     # `with_avx512`: zmm registers, no calls of closures
//! ```

pub mod activation;
pub mod adam;
pub mod bfloat16;
pub mod elementary;
pub mod norm;
pub mod polyak;
pub mod product;
pub mod thread_pool;
mod widest;

pub use activation::Activation;
pub use adam::AdamStep;
pub use polyak::polyak;
pub use thread_pool::ThreadPool;
pub use widest::widest;

/// Grows `scratch` to at least `len` values. It never shrinks, since what grows again would have to be filled again.
#[cfg(target_arch = "x86_64")]
fn reserve<T: Copy + Default>(scratch: &mut Vec<T>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, T::default());
    }
}
