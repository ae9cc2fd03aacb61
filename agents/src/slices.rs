//! Views of tensors as slices: [`as_slice`], [`as_slice_mut`].

use tch::{Device, Kind, Tensor};

fn check(tensor: &Tensor) {
    assert!(
        tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu,
        "only a contiguous f32 tensor on the CPU is a slice"
    );
}

/// Number of elements. tch's `numel` allocates, and an env step must not.
fn len(tensor: &Tensor) -> usize {
    let mut shape = [1i64; 4];
    if tensor.dim() > shape.len() {
        return tensor.numel();
    }
    // SAFETY: the tensor is alive, and `shape` has room for all its extents.
    unsafe { torch_sys::at_shape(tensor.as_ptr().cast_mut(), shape.as_mut_ptr()) };
    shape.iter().product::<i64>() as usize
}

/// The values of a contiguous `f32` tensor on the CPU. While the slice lives, nothing may write to the tensor's memory,
/// not even through another view.
///
/// # Panics
/// When the tensor is not contiguous, not `f32` or not on the CPU.
pub(crate) fn as_slice(tensor: &Tensor) -> &[f32] {
    check(tensor);
    let len = len(tensor);
    if len == 0 {
        return &[]; // an empty tensor has no memory
    }
    // SAFETY: kind, layout and device are checked above, and the tensor lives as long as the borrow. Nothing writes
    // meanwhile: an update runs on one thread, results are new tensors, and batches, moments and parameters are written
    // between passes.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), len) }
}

/// The values of a contiguous `f32` tensor on the CPU, for writing. While the slice lives, nothing else may access the
/// tensor's memory, not even through another view.
///
/// # Panics
/// As [`as_slice`].
pub(crate) fn as_slice_mut(tensor: &mut Tensor) -> &mut [f32] {
    check(tensor);
    let len = len(tensor);
    if len == 0 {
        return &mut [];
    }
    // SAFETY: as in `as_slice`; the caller has the only access to the memory.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), len) }
}
