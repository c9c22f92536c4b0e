#include "../perceptron.h"

#include <algorithm>
#include <vector>

#include "isa.h"
#include "perceptron_isa.h"
#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace aae {
namespace {

const PerceptronLoops& loops() {
#if defined(__x86_64__)
  if (current_isa() == Isa::avx512) return perceptron_avx512;
  if (current_isa() == Isa::avx2) return perceptron_avx2;
#endif
  return perceptron_portable;
}

// Numbers below the normal range count as 0 while this lives. Adam's moments of pixels that are always empty decay
// into hundreds of thousands of them, and each would cost tens of cycles.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | uint64_t{1} << 24));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// Part `part` of `parts` of [0, size), cut at multiples of `unit`.
Range cut(int64_t size, int64_t unit, int64_t part, int64_t parts) {
  const int64_t units = (size + unit - 1) / unit;
  return {std::min(size, units * part / parts * unit), std::min(size, units * (part + 1) / parts * unit)};
}

// Shares [0, rows) x [0, columns) out: by columns where there are enough of them, which leaves each core with its own
// columns of the weight in its cache, else by rows.
template <class Loop>
void share(int64_t rows, int64_t columns, const Loop& loop) {
  const int64_t parts = threads(), width = loops().width;
  const bool by_columns = columns >= 2 * parts * width;
  parallel_for(parts, [&](int64_t part) {
    const FlushDenormals flush;
    const Range all_rows{0, rows}, all_columns{0, columns};
    const Range r = by_columns ? all_rows : cut(rows, 16, part, parts);
    const Range c = by_columns ? cut(columns, width, part, parts) : all_columns;
    if (r.begin < r.end && c.begin < c.end) loop(r, c);
  });
}

// y [columns, n] = the transpose of x [n, columns], for some columns.
void transpose(const float* x, int64_t n, int64_t columns, Range some, float* y) {
  constexpr int64_t kBlock = 16;  // a cache line of each
  for (int64_t j = some.begin; j < some.end; j += kBlock)
    for (int64_t i = 0; i < n; i += kBlock)
      for (int64_t jj = j; jj < std::min(j + kBlock, some.end); ++jj)
        for (int64_t ii = i; ii < std::min(i + kBlock, n); ++ii) y[jj * n + ii] = x[ii * columns + jj];
}

}  // namespace

void SparseInputs::find(const float* inputs, int64_t n, int64_t width) {
  x = inputs;
  rows = n;
  columns = width;
  const int64_t block = loops().sparse_block, blocks = (rows + block - 1) / block;
  columns_used.resize(blocks * columns);
  columns_count.resize(blocks);
  share(blocks, 1, [&](Range some, Range) {
    for (int64_t b = some.begin; b < some.end; ++b)
      columns_count[b] = loops().columns_used(x + b * block * columns, std::min(block, rows - b * block), columns,
                                              &columns_used[b * columns]);
  });
}

void SparseInputs::find_rows() {
  const int64_t block = loops().sparse_block, blocks = (columns + block - 1) / block;
  rows_used.resize(blocks * rows);
  rows_count.assign(blocks, 0);
  share(columns, 1, [&](Range some, Range) {
    loops().rows_used(x, rows, columns, some, rows_used.data(), rows_count.data());
  });
}

void linear_forward(const Linear& layer, const float* x, float* y, int64_t n, bool relu) {
  share(n, layer.outputs,
        [&](Range rows, Range outputs) { loops().forward(layer, x, y, rows, outputs, relu); });
}

void linear_forward(const Linear& layer, const SparseInputs& x, float* y, bool relu) {
  share(x.rows, layer.outputs,
        [&](Range rows, Range outputs) { loops().forward_sparse(layer, x, y, rows, outputs, relu); });
}

void linear_backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, int64_t n,
                     bool relu) {
  // What is wanted is gradient [n, outputs] times the transpose of the weight [inputs, outputs]. For a large weight it
  // takes less to turn round the gradient, and the result, which is then the transpose of what is wanted.
  const bool small_weight = layer.inputs * layer.outputs < n * (layer.inputs + layer.outputs);
  thread_local std::vector<float> buffer;
  buffer.resize(layer.outputs * (small_weight ? layer.inputs : n));
  float* turned = buffer.data();
  if (small_weight) {
    transpose(layer.weight, layer.inputs, layer.outputs, {0, layer.outputs}, turned);
    share(n, layer.inputs, [&](Range rows, Range inputs) {
      loops().backward(layer, gradient, turned, x, in_inputs, rows, inputs, relu);
    });
  } else {
    share(layer.outputs, 1, [&](Range outputs, Range) { transpose(gradient, n, layer.outputs, outputs, turned); });
    share(layer.inputs, 1, [&](Range inputs, Range) {
      loops().backward_turned(layer, turned, x, in_inputs, n, inputs, relu);
    });
  }
}

void linear_update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam) {
  share(layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    loops().update(layer, x, gradient, n, moments, adam, inputs, outputs);
    if (inputs.begin == 0) loops().update_bias(layer, gradient, n, moments, adam, outputs);
  });
}

void linear_update(const Linear& layer, SparseInputs& x, const float* gradient, const Moments& moments,
                   const AdamStep& adam) {
  x.find_rows();
  share(layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    loops().update_sparse(layer, x, gradient, moments, adam, inputs, outputs);
    if (inputs.begin == 0) loops().update_bias(layer, gradient, x.rows, moments, adam, outputs);
  });
}

double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale) {
  std::vector<double> losses(n);
  share(n, 1, [&](Range rows, Range) {
    loops().cross_entropy(logits, targets, target, outputs, scale, rows, losses.data());
  });
  double sum = 0.0;
  for (double loss : losses) sum += loss;
  return sum;
}

}  // namespace aae
