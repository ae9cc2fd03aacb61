//! Fast `f32` kernels for small neural networks on a CPU.

pub mod activation;
pub mod adam;
pub mod bfloat16;
pub mod elementary;
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
