// Launches the items of an op on the caller's device and stream. It neither allocates nor waits, so a CUDA graph can
// capture a launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "../items.h"
#include "../kernels.h"

namespace aae {

inline void check(const char* op, cudaError_t error) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string(op) + ": " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")");
}

// Sets the calling thread's device for the lifetime of the guard.
class DeviceGuard {
 public:
  DeviceGuard(const char* op, int device) {
    check(op, cudaGetDevice(&before_));
    check(op, cudaSetDevice(device));
  }
  ~DeviceGuard() { cudaSetDevice(before_); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
};

template <class Items>
__global__ void __launch_bounds__(kThreadsPerBlock) run_items(const Items items) {
  run_share(items, blockIdx.x * kThreadsPerBlock + threadIdx.x, gridDim.x * kThreadsPerBlock);
}

template <class Items>
void launch(const char* op, const Items& items, const CudaStream& stream) {
  const int64_t count = items.count();
  if (count == 0) return;
  const DeviceGuard guard(op, stream.device);
  // Launch only as many blocks as can run at once. A second wave of a few blocks would leave the GPU idle at the end.
  int multiprocessors = 0, resident = 0;
  check(op, cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, stream.device));
  check(op, cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, run_items<Items>, kThreadsPerBlock, 0));
  const int64_t blocks = blocks_for(count, int64_t{resident} * multiprocessors);
  const auto handle = static_cast<cudaStream_t>(stream.handle);
  run_items<<<static_cast<unsigned>(blocks), kThreadsPerBlock, 0, handle>>>(items);
  check(op, cudaGetLastError());
}

}  // namespace aae
