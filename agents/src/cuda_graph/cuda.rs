//! CUDA graphs, through a shim on libtorch's own (`agents/cuda/graphs.cpp`): [`CudaRecorder`].
//!
//! **Never run so far: no GPU was at hand.** It is compiled and linked against libtorch's CUDA build; its logic, all that
//! is not the recording itself, is tested on the CPU (`agents/tests/recorded.rs`).

use std::{
    ffi::{CStr, c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::null_mut,
};

use super::{Recorder, Recording};

/// `at::cuda::CUDAGraph`.
#[repr(C)]
struct Graph {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn sac_cuda_free_text(text: *mut c_char);
    fn sac_cuda_own_stream(device: c_int) -> *mut c_char;
    fn sac_cuda_graph_new(graph: *mut *mut Graph) -> *mut c_char;
    fn sac_cuda_graph_free(graph: *mut Graph);
    fn sac_cuda_graph_begin(graph: *mut Graph) -> *mut c_char;
    fn sac_cuda_graph_end(graph: *mut Graph) -> *mut c_char;
    fn sac_cuda_graph_replay(graph: *mut Graph) -> *mut c_char;
}

/// What the shim says: nothing, or an error's text, which is ours to free.
fn outcome(text: *mut c_char) -> Result<(), String> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: the shim gives a text that ends with a zero and that nobody else frees.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        sac_cuda_free_text(text);
        Err(owned)
    }
}

/// Records on one device, for the thread that made it.
pub struct CudaRecorder(());

impl CudaRecorder {
    /// From now on this thread's work on device `index` goes to a stream of its own, on which it can be recorded.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn new(index: usize) -> Result<Self, String> {
        // SAFETY: a call without pointers.
        outcome(unsafe { sac_cuda_own_stream(index as c_int) })?;
        Ok(CudaRecorder(()))
    }
}

struct CudaGraph(*mut Graph);

// SAFETY: a graph has no thread of its own; it is launched from one thread at a time.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    fn new() -> Result<Self, String> {
        let mut graph = null_mut();
        // SAFETY: the shim writes a graph there, or says why not.
        outcome(unsafe { sac_cuda_graph_new(&mut graph) })?;
        Ok(CudaGraph(graph))
    }

    fn replay(&self) -> Result<(), String> {
        // SAFETY: the graph lives as long as this.
        outcome(unsafe { sac_cuda_graph_replay(self.0) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: it was made by the shim, and nobody else frees it.
        unsafe { sac_cuda_graph_free(self.0) }
    }
}

impl Recorder for CudaRecorder {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        let graph = CudaGraph::new()?;
        // SAFETY: the graph lives.
        outcome(unsafe { sac_cuda_graph_begin(graph.0) })?;
        // What cannot be captured ends in an error of libtorch, which tch makes a panic of.
        let worked = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: as above.
        let ended = outcome(unsafe { sac_cuda_graph_end(graph.0) });
        if let Err(panic) = worked {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Err(text.unwrap_or("an update cannot be captured").to_string());
        }
        ended?;
        graph.replay()?; // captured work was not done
        Ok(Box::new(graph))
    }
}

impl Recording for CudaGraph {
    fn repeat(&self, _work: &mut dyn FnMut()) {
        if let Err(problem) = self.replay() {
            // As every other operation of libtorch that fails on the device.
            panic!("a recorded update cannot be repeated: {problem}");
        }
    }
}
