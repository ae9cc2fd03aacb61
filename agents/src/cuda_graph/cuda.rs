//! CUDA graphs of libtorch through a C++ shim (`agents/cuda/graphs.cpp`): [`CudaRecorder`].
//!
//! **Not yet run on a GPU, because none was available.** It compiles and links against libtorch's CUDA build. The logic
//! around recording and replay is tested on the CPU (`agents/tests/recorded.rs`).

use std::{
    ffi::{CStr, c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::null_mut,
};

use super::recorder::{Recorder, Recording};

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

/// Converts a result of the shim: null, or the text of an error, which we must free.
fn outcome(text: *mut c_char) -> Result<(), String> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns a zero-terminated text and passes its ownership to us.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        sac_cuda_free_text(text);
        Err(owned)
    }
}

/// Records CUDA graphs on one device, for the thread that created it.
pub struct CudaRecorder(());

impl CudaRecorder {
    /// Redirects this thread's work on device `index` to a CUDA stream of its own, on which it can be recorded.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn new(index: usize) -> Result<Self, String> {
        // SAFETY: the call passes no pointers.
        outcome(unsafe { sac_cuda_own_stream(index as c_int) })?;
        Ok(CudaRecorder(()))
    }
}

struct CudaGraph(*mut Graph);

// SAFETY: a graph is not tied to a thread, and is launched from one thread at a time.
unsafe impl Send for CudaGraph {}

impl CudaGraph {
    fn new() -> Result<Self, String> {
        let mut graph = null_mut();
        // SAFETY: the shim writes a graph to the pointer, or returns an error.
        outcome(unsafe { sac_cuda_graph_new(&mut graph) })?;
        Ok(CudaGraph(graph))
    }

    fn replay(&self) -> Result<(), String> {
        // SAFETY: the graph lives as long as `self`.
        outcome(unsafe { sac_cuda_graph_replay(self.0) })
    }
}

impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: the graph was made by the shim, and is freed only here.
        unsafe { sac_cuda_graph_free(self.0) }
    }
}

impl Recorder for CudaRecorder {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        let graph = CudaGraph::new()?;
        // SAFETY: the graph is alive.
        outcome(unsafe { sac_cuda_graph_begin(graph.0) })?;
        // libtorch reports operations that cannot be captured as errors, and tch turns those into panics.
        let worked = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: as above.
        let ended = outcome(unsafe { sac_cuda_graph_end(graph.0) });
        if let Err(panic) = worked {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            return Err(text.unwrap_or("an update cannot be captured").to_string());
        }
        ended?;
        graph.replay()?; // capturing does not execute the work
        Ok(Box::new(graph))
    }
}

impl Recording for CudaGraph {
    fn repeat(&self, _work: &mut dyn FnMut()) {
        if let Err(problem) = self.replay() {
            // tch also panics when any other operation fails on the device.
            panic!("a recorded update cannot be repeated: {problem}");
        }
    }
}
