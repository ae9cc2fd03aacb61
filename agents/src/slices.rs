//! The values of tensors as slices: [`as_slice`], [`as_slice_mut`].

use tch::{Device, Kind, Tensor};

fn check(tensor: &Tensor) {
    assert!(
        tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu,
        "only a contiguous f32 tensor on the CPU is a slice"
    );
}

/// Number of elements. Stepping an environment must not allocate, and tch's `numel` does.
fn len(tensor: &Tensor) -> usize {
    let mut shape = [1i64; 4];
    if tensor.dim() > shape.len() {
        return tensor.numel();
    }
    // SAFETY: the tensor lives, and has no more extents than there is room for.
    unsafe { torch_sys::at_shape(tensor.as_ptr().cast_mut(), shape.as_mut_ptr()) };
    shape.iter().product::<i64>() as usize
}

/// The values of a contiguous `f32` tensor on the CPU. Nobody may write to it meanwhile, through other views either.
///
/// # Panics
/// When it is not such a tensor.
pub(crate) fn as_slice(tensor: &Tensor) -> &[f32] {
    check(tensor);
    let len = len(tensor);
    if len == 0 {
        return &[]; // such a tensor has no memory
    }
    // SAFETY: checked above; the tensor lives as long as the borrow. Nobody writes meanwhile: an update runs on one thread,
    // results are fresh tensors, and batches, moments and parameters are written between passes.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), len) }
}

/// The same of a tensor that is being filled. Nobody may read it meanwhile, through other views either.
///
/// # Panics
/// As [`as_slice`].
pub(crate) fn as_slice_mut(tensor: &mut Tensor) -> &mut [f32] {
    check(tensor);
    let len = len(tensor);
    if len == 0 {
        return &mut [];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), len) }
}
