// The ops' work items in Python. <op>_cuda queues them on a GPU, if the module is built with CUDA. <op>_items runs them
// on the CPU, for the tests. An address of 0 means that an optional argument (labels, late_step) is absent.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "bindings.h"
#include "items.h"
#include "kernels.h"

namespace items {

namespace py = pybind11;

using aae::at;

aae::LateDraw late_draw(uint64_t seed, uint64_t step, uintptr_t late_step, uint32_t stream) {
  return {{seed, step, stream}, at<int64_t>(late_step)};
}

aae::PhiloxItems philox4x32(uintptr_t counter, uintptr_t key, uintptr_t words, int64_t n) {
  return {at<int64_t>(counter), at<int64_t>(key), at<int64_t>(words), n};
}

aae::PriorItems sample_prior(const aae::Prior& prior, uintptr_t labels, uintptr_t out, int64_t n, uint64_t seed,
                             uint64_t step, uintptr_t late_step, uint32_t stream, int64_t offset) {
  aae::check_sample_prior_arrays(prior, labels, out, n);
  return {prior, at<int64_t>(labels), at<float>(out), n, late_draw(seed, step, late_step, stream), offset};
}

aae::DiscriminatorBatchItems assemble_discriminator_batch(const aae::Prior& prior, uintptr_t codes, uintptr_t labels,
                                                          uintptr_t batch, uintptr_t targets, int64_t n_codes,
                                                          int64_t n_prior, uint64_t seed, uint64_t step,
                                                          uintptr_t late_step, uint32_t stream, int64_t offset) {
  aae::check_discriminator_batch_arrays(prior, codes, labels, batch, targets, n_codes, n_prior);
  const aae::PriorItems drawn{prior, nullptr, nullptr, n_prior, late_draw(seed, step, late_step, stream), offset};
  return {at<float>(codes), at<int64_t>(labels), n_codes, drawn, at<float>(batch), at<float>(targets)};
}

aae::MinibatchItems draw_minibatch(uintptr_t images, int64_t n_images, int64_t pixels, uintptr_t out, uintptr_t indices,
                                   int64_t n, uint64_t seed, uint64_t step, uintptr_t late_step, uint32_t stream,
                                   int64_t offset) {
  aae::check_minibatch_arrays(images, n_images, pixels, out, indices, n);
  return {at<uint8_t>(images),
          n_images,
          pixels,
          at<float>(out),
          at<int64_t>(indices),
          n,
          late_draw(seed, step, late_step, stream),
          offset};
}

// Runs the items as a GPU would with at most `blocks` blocks, but takes the threads in a random order.
template <class Items>
void run_on_cpu(const Items& items, int64_t blocks, uint64_t order) {
  std::vector<int64_t> threads(aae::kThreadsPerBlock * aae::blocks_for(items.count(), blocks));
  std::iota(threads.begin(), threads.end(), int64_t{0});
  std::shuffle(threads.begin(), threads.end(), std::mt19937_64(order));
  for (int64_t thread : threads) aae::run_share(items, thread, static_cast<int64_t>(threads.size()));
}

template <class Items, class... Arguments>
void def_items(py::module_& m, const char* name, Items (*make)(Arguments...)) {
  m.def(name, [make](Arguments... arguments, int64_t blocks, uint64_t order) {
    run_on_cpu(make(arguments...), blocks, order);
  });
}

#if defined(AAE_CUDA_TOOLKIT)
template <class Items, class... Arguments>
void def_cuda(py::module_& m, const char* name, Items (*make)(Arguments...),
              void (*launch)(const Items&, const aae::CudaStream&)) {
  m.def(name, [make, launch](Arguments... arguments, int device, uintptr_t stream) {
    const Items items = make(arguments...);
    // A launch blocks while the queue is full, and the work that empties the queue may need the GIL.
    py::gil_scoped_release release;
    launch(items, {device, at<void>(stream)});
  });
}
#endif

inline void bind(py::module_& m) {
  def_items(m, "philox4x32_items", philox4x32);
  def_items(m, "sample_prior_items", sample_prior);
  def_items(m, "assemble_discriminator_batch_items", assemble_discriminator_batch);
  def_items(m, "draw_minibatch_items", draw_minibatch);

#if defined(AAE_CUDA_TOOLKIT)
  def_cuda(m, "philox4x32_cuda", philox4x32, aae::philox4x32_cuda);
  def_cuda(m, "sample_prior_cuda", sample_prior, aae::sample_prior_cuda);
  def_cuda(m, "assemble_discriminator_batch_cuda", assemble_discriminator_batch,
           aae::assemble_discriminator_batch_cuda);
  def_cuda(m, "draw_minibatch_cuda", draw_minibatch, aae::draw_minibatch_cuda);
#endif
}

}  // namespace items
