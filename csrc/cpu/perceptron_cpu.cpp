#include "../perceptron.h"

#include <algorithm>
#include <cmath>
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

enum class By { rows, columns };

// Part `part` of `parts` of [0, size), cut at multiples of `unit`.
Range cut(int64_t size, int64_t unit, int64_t part, int64_t parts) {
  const int64_t units = (size + unit - 1) / unit;
  return {std::min(size, units * part / parts * unit), std::min(size, units * (part + 1) / parts * unit)};
}

// Shares [0, rows) x [0, columns) out: `by` rows or by columns, but by the other where there are too few of them.
template <class Loop>
void share(By by, int64_t rows, int64_t columns, const Loop& loop) {
  constexpr int64_t kRows = 16;
  const int64_t parts = threads(), width = loops().width;
  const bool few_rows = rows < 2 * parts * kRows, few_columns = columns < 2 * parts * width;
  const bool by_rows = few_columns || (by == By::rows && !few_rows);
  parallel_for(parts, [&](int64_t part) {
    const FlushDenormals flush;
    const Range r = by_rows ? cut(rows, kRows, part, parts) : Range{0, rows};
    const Range c = by_rows ? Range{0, columns} : cut(columns, width, part, parts);
    if (r.begin < r.end && c.begin < c.end) loop(r, c);
  });
}

// y [n, outputs] = x [n, inputs] weight + bias, negative outputs set to 0 if `relu`. Each thread reads columns of the
// weight of its own.
void linear_forward(const Linear& layer, const float* x, float* y, int64_t n, bool relu) {
  share(By::columns, n, layer.outputs,
        [&](Range rows, Range outputs) { loops().forward(layer, x, y, rows, outputs, relu); });
}

void linear_forward(const Linear& layer, const SparseInputs& x, float* y, bool relu) {
  share(By::columns, x.rows, layer.outputs,
        [&](Range rows, Range outputs) { loops().forward_sparse(layer, x, y, rows, outputs, relu); });
}

// From gradient [n, outputs] in a layer's outputs to that in its inputs [n, inputs]. If `relu`, x [n, inputs] came out
// of a ReLU, and where it is 0 the gradient is too.
void linear_backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, int64_t n,
                     bool relu) {
  share(By::columns, n, layer.inputs, [&](Range rows, Range inputs) {
    loops().backward(layer, gradient, x, in_inputs, rows, inputs, relu);
  });
}

// Moves the layer's parameters by the gradient that x [n, inputs] and gradient [n, outputs] make. Each thread goes
// through memory that no other touches: side by side, each would fetch ahead what the other is about to write.
void linear_update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam) {
  share(By::rows, layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    loops().update(layer, x, gradient, n, moments, adam, inputs, outputs);
    if (inputs.begin == 0) loops().update_bias(layer, gradient, n, moments, adam, outputs);
  });
}

void linear_update(const Linear& layer, SparseInputs& x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam) {
  x.find_rows(n);
  share(By::rows, layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    loops().update_sparse(layer, x, gradient, moments, adam, inputs, outputs);
    if (inputs.begin == 0) loops().update_bias(layer, gradient, n, moments, adam, outputs);
  });
}

}  // namespace

void SparseInputs::find(const float* inputs, int64_t n, int64_t width) {
  x = inputs;
  rows = n;
  columns = width;
  const int64_t block = loops().sparse_block, blocks = (rows + block - 1) / block;
  columns_used.resize(blocks * columns);
  columns_count.resize(blocks);
  share(By::rows, blocks, 1, [&](Range some, Range) {
    for (int64_t b = some.begin; b < some.end; ++b)
      columns_count[b] = loops().columns_used(x + b * block * columns, std::min(block, rows - b * block), columns,
                                              &columns_used[b * columns]);
  });
}

void SparseInputs::find_rows(int64_t n) {
  x += (rows - n) * columns;
  rows = n;
  const int64_t block = loops().sparse_block, blocks = (columns + block - 1) / block;
  rows_used.resize(blocks * rows);
  rows_count.assign(blocks, 0);
  share(By::rows, columns, 1, [&](Range some, Range) {
    loops().rows_used(x, rows, columns, some, rows_used.data(), rows_count.data());
  });
}

AdamStep Adam::next_step() {
  ++steps;
  return {static_cast<float>(1 - beta1), static_cast<float>(1 - beta2),
          static_cast<float>(learning_rate / (1 - std::pow(beta1, steps))),
          static_cast<float>(std::pow(1 - std::pow(beta2, steps), -0.5)), 1e-8f};
}

void Perceptron::forward(const float* x, int64_t n, const std::vector<float*>& outputs) {
  n_ = n;
  inputs_.assign(1, x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool relu = i + 1 < layers_.size();
    if (i == 0 && sparse_) {
      sparse_inputs_.find(x, n, layers_[0].inputs);
      linear_forward(layers_[0], sparse_inputs_, outputs[0], relu);
    } else {
      linear_forward(layers_[i], inputs_[i], outputs[i], n, relu);
    }
    inputs_.push_back(outputs[i]);
  }
}

void Perceptron::backward(const float* gradient, int64_t n, const std::vector<float*>& in_inputs, Adam* adam,
                          bool to_inputs) {
  const AdamStep step = adam ? adam->next_step() : AdamStep{};
  for (size_t i = layers_.size(); i-- > 0;) {
    const Linear& layer = layers_[i];
    const float* x = inputs_[i] + (n_ - n) * layer.inputs;
    if (i > 0 || to_inputs) linear_backward(layer, gradient, x, in_inputs[i], n, i > 0);  // before the weights move
    if (adam && i == 0 && sparse_) linear_update(layer, sparse_inputs_, gradient, n, adam->moments[0], step);
    else if (adam) linear_update(layer, x, gradient, n, adam->moments[i], step);
    gradient = in_inputs[i];
  }
}

double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale) {
  std::vector<double> losses(n);
  share(By::rows, n, 1, [&](Range rows, Range) {
    loops().cross_entropy(logits, targets, target, outputs, scale, rows, losses.data());
  });
  double sum = 0.0;
  for (double loss : losses) sum += loss;
  return sum;
}

}  // namespace aae
