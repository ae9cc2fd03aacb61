//! The numbers of tensors as slices: [`numbers`], [`numbers_mut`].

use tch::{Device, Kind, Tensor};

fn check(tensor: &Tensor) {
    assert!(
        tensor.is_contiguous() && tensor.kind() == Kind::Float && tensor.device() == Device::Cpu,
        "the numbers of a tensor are read where they lie together in memory, as f32"
    );
}

/// How many numbers there are. Where environments are stepped nothing may be allocated, and tch's `numel` does.
fn count(tensor: &Tensor) -> usize {
    let mut shape = [1i64; 4];
    if tensor.dim() > shape.len() {
        return tensor.numel();
    }
    // SAFETY: the tensor lives, and has no more extents than there is room for.
    unsafe { torch_sys::at_shape(tensor.as_ptr().cast_mut(), shape.as_mut_ptr()) };
    shape.iter().product::<i64>() as usize
}

/// Of a contiguous `f32` tensor on the CPU. Nobody may write to it meanwhile, through other views either.
pub(crate) fn numbers(tensor: &Tensor) -> &[f32] {
    check(tensor);
    let count = count(tensor);
    if count == 0 {
        return &[]; // such a tensor has no memory
    }
    // SAFETY: checked above; the tensor lives as long as the borrow. Nobody writes meanwhile: an update is one thread's,
    // results are fresh tensors, and batches, moments and parameters are written between passes.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), count) }
}

/// The same of a tensor that is being filled. Nobody may read it meanwhile, through other views either.
pub(crate) fn numbers_mut(tensor: &mut Tensor) -> &mut [f32] {
    check(tensor);
    let count = count(tensor);
    if count == 0 {
        return &mut [];
    }
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), count) }
}
