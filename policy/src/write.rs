//! Exports in the formats of others: [`c_files`], [`onnx_model`].
//!
//! Each writer has one function for each operation, and takes everything else from the graph.

mod c;
mod c_functions;
mod memory;
mod onnx;
mod onnx_fourier;
mod onnx_nodes;
mod onnx_proto;

pub use c::{CFiles, c_files};
pub use onnx::onnx_model;
