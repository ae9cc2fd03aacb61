// What Rust needs of CUDA graphs: a stream of one's own, and at::cuda::CUDAGraph.
//
// Every function returns nothing on success and an error's text otherwise, which the caller frees with
// sac_cuda_free_text. No exception leaves this file.

#include <cstdlib>
#include <cstring>
#include <exception>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace {

template <typename Work>
char* text_of_error(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown error");
  }
}

} // namespace

extern "C" {

void sac_cuda_free_text(char* text) {
  std::free(text);
}

// From now on the calling thread's work on the device goes to a stream from the pool, after all that was asked before:
// nothing can be captured on the default stream.
char* sac_cuda_own_stream(int device) {
  return text_of_error([&] {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(device));
    c10::cuda::device_synchronize();
    const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(device));
    c10::cuda::setCurrentCUDAStream(stream);
  });
}

char* sac_cuda_graph_new(at::cuda::CUDAGraph** graph) {
  return text_of_error([&] { *graph = new at::cuda::CUDAGraph(); });
}

void sac_cuda_graph_free(at::cuda::CUDAGraph* graph) {
  // Its destructor may report an error of the device by throwing: there is nobody left to tell.
  char* error = text_of_error([&] { delete graph; });
  std::free(error);
}

// From now on the current stream's work is captured and not done. Other threads may use the device meanwhile.
char* sac_cuda_graph_begin(at::cuda::CUDAGraph* graph) {
  return text_of_error([&] {
    c10::cuda::device_synchronize();
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  });
}

char* sac_cuda_graph_end(at::cuda::CUDAGraph* graph) {
  return text_of_error([&] { graph->capture_end(); });
}

// Does the captured work once, on the current stream, without waiting for it.
char* sac_cuda_graph_replay(at::cuda::CUDAGraph* graph) {
  return text_of_error([&] { graph->replay(); });
}

} // extern "C"
