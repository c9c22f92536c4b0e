// The body of perceptron_<isa>.cpp, which selects the instruction set and names the table.
#pragma once

#include <algorithm>
#include <type_traits>

#include "loss_loops.h"
#include "perceptron_tiles.h"
#include "prefetch.h"

namespace aae {
namespace {

// The shape of a tile: as many sums as fit in the registers. The more rows share a list of terms, the longer it is.
constexpr int kRows = kWidth == 16 ? 8 : 4, kVectors = 3;  // AVX-512 has twice the registers
constexpr int kSparseRows = kRows / 2, kSparseVectors = 4;
constexpr int kUnits = 10;  // in a tile of one vector of rows
constexpr int kSortedRows = 4, kSortedVectors = kWidth == 16 ? 4 : 3;

// Tiles of this shape suit layers with kFew inputs or outputs.
constexpr int kFewRows = 2, kFewVectors = 2;

// --- how the sums are used ---

// The memory that a tile writes is prefetched this many rows ahead. Loading a cache line that another thread has read
// or written in the meantime takes longer than computing a tile.
constexpr int64_t kRowsAhead = 4;  // measured

struct Outputs {
  const float* bias;
  float* y;
  int64_t stride;
  bool relu;
  Order order{};

  Vector start(int64_t i, int64_t j, int64_t count) const {
    will_write(y, (i + kRowsAhead) * stride + j);
    return load(bias + j, count);
  }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const {
    store(relu ? sums.zero_if_negative() : sums, y + order[i] * stride + j, count);
  }
};

struct GradInputs {
  const float* x;
  float* grad_inputs;
  int64_t inputs;
  bool relu;

  Vector start(int64_t i, int64_t j, int64_t) const {
    will_write(grad_inputs, (i + kRowsAhead) * inputs + j);
    return Vector::all(0.0f);
  }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const {
    const int64_t at = i * inputs + j;
    store(relu ? sums.zero_unless_positive(load(x + at, count)) : sums, grad_inputs + at, count);
  }
};

// Sums i are those of unit units[i]. They fill row units[i] of a panel's results.
struct Results {
  const int32_t* units;
  float* results;  // [units, kWidth]

  Vector start(int64_t, int64_t, int64_t) const { return Vector::all(0.0f); }
  void take(int64_t i, int64_t, Vector sums, int64_t) const { sums.store(results + units[i] * kWidth); }
};

// Adam; the sums are the gradient.
struct Parameters {
  float *parameter, *mean, *square;
  int64_t stride;
  AdamStep adam;
  Order order{};

  Vector start(int64_t i, int64_t j, int64_t) const {
    for (const float* p : {parameter, mean, square}) will_write(p, order[i] * stride + j);
    return Vector::all(0.0f);
  }
  void take(int64_t i, int64_t j, Vector g, int64_t count) const {
    const int64_t at = order[i] * stride + j;
    float *const p = parameter + at, *const m = mean + at, *const s = square + at;
    Vector average = load(m, count), square_average = load(s, count);
    average = Vector::all(adam.mean_rate).times_plus(g - average, average);
    square_average = Vector::all(adam.square_rate).times_plus(g.times_minus(g, square_average), square_average);
    store(average, m, count);
    store(square_average, s, count);
    const Vector root = Vector::all(adam.root_scale).times_plus(square_average.root(), Vector::all(adam.epsilon));
    store(Vector::all(-adam.step_size).times_plus(average / root, load(p, count)), p, count);
  }
};

// Row i of the sums becomes column i of y. A product with few columns is computed as its transpose, so that vectors run
// along its many rows.
struct TransposedOutputs {
  const float* bias;  // of y's columns, or null
  float* y;
  int64_t stride;
  bool relu;

  Vector start(int64_t i, int64_t, int64_t) const { return Vector::all(bias == nullptr ? 0.0f : bias[i]); }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const {
    float column[kWidth];
    (relu ? sums.zero_if_negative() : sums).store(column);
    for (int64_t k = 0; k < std::min<int64_t>(count, kWidth); ++k) y[(j + k) * stride + i] = column[k];
  }
};

// --- the loops ---

void forward(const Linear& layer, const float* x, float* y, Range rows, Range outputs, bool relu) {
  if (layer.outputs <= kFew)
    return multiply<kFewRows, kFewVectors>(Left<true>{layer.weight, layer.outputs}, outputs,
                                           Right<true>{x, layer.inputs, layer.inputs}, rows, AllTerms{layer.inputs},
                                           TransposedOutputs{layer.bias, y, layer.outputs, relu});
  multiply<kRows, kVectors>(Left<false>{x, layer.inputs}, rows, Right<false>{layer.weight, layer.outputs, layer.inputs},
                            outputs, AllTerms{layer.inputs}, Outputs{layer.bias, y, layer.outputs, relu});
}

template <int block, int vectors>
void forward_listed(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  const Order order{x.row_order.data()};
  multiply<block, vectors>(Left<false>{x.x, layer.inputs, order}, rows,
                           Right<false>{layer.weight, layer.outputs, layer.inputs}, outputs,
                           ListedTerms{x.columns_used.data(), x.columns_count.data(), x.columns, block, 0},
                           Outputs{layer.bias, y, layer.outputs, relu, order});
}

void forward_sparse(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  if (x.block == kSparseRows) forward_listed<kSparseRows, kSparseVectors>(layer, x, y, rows, outputs, relu);
  else forward_listed<kRows, kVectors>(layer, x, y, rows, outputs, relu);
}

void backward(const Linear& layer, const LayerRows& of, float* grad_inputs, Range rows, Range inputs, bool relu) {
  const float* const grad_outputs = of.grad_outputs;
  if (layer.inputs <= kFew) {
    multiply<kFewRows, kFewVectors>(
        Left<false>{layer.weight, layer.outputs}, inputs, Right<true>{grad_outputs, layer.outputs, layer.outputs}, rows,
        AllTerms{layer.outputs}, TransposedOutputs{nullptr, grad_inputs, layer.inputs, false});
    for (int64_t i = rows.begin * layer.inputs; relu && i < rows.end * layer.inputs; ++i)
      if (of.x[i] <= 0.0f) grad_inputs[i] = 0.0f;
    return;
  }
  multiply<kRows, kVectors>(Left<false>{grad_outputs, layer.outputs}, rows,
                            Right<true>{layer.weight, layer.outputs, layer.outputs}, inputs, AllTerms{layer.outputs},
                            GradInputs{of.x, grad_inputs, layer.inputs, relu});
}

// Writes to `units` which of the units `some` the `rows` use, counted from some.begin. Returns the number of these
// units. Blocks that lie partly in `rows` count as a whole.
int64_t units_used(const SparseInputs& x, Range rows, Range some, int32_t* units) {
  const int64_t count = some.end - some.begin;
  uint8_t* const used = buffer<4, uint8_t>(count);
  std::fill_n(used, count, uint8_t{0});
  for (int64_t b = rows.begin / x.block; b * x.block < rows.end; ++b) {
    const int32_t* const list = &x.columns_used[b * x.columns];
    for (const int32_t* unit = list; unit < list + x.columns_count[b]; ++unit)
      if (some.begin <= *unit && *unit < some.end) used[*unit - some.begin] = 1;
  }
  int64_t found = 0;
  for (int64_t j = 0; j < count; ++j) {
    units[found] = static_cast<int32_t>(j);
    found += used[j];
  }
  return found;
}

// The backward pass of a layer behind a ReLU, for the units that each block of rows uses. The gradient of the others is
// 0. The product is computed as its transpose, so its vectors run along rows that use nearly the same units.
void backward_listed(const Linear& layer, const LayerRows& of, const SparseInputs& x, float* grad_inputs, Range rows,
                     Range inputs) {
  const int64_t count = inputs.end - inputs.begin, padded = (count + kWidth - 1) / kWidth * kWidth;
  const float* const weight = layer.weight + inputs.begin * layer.outputs;
  const Order order{x.row_order.data()};
  int32_t* const units = buffer<3, int32_t>(count);
  float* const results = buffer<4>(padded * kWidth);
  float* const panel = buffer<0>(layer.outputs * kWidth);
  for (int64_t row = rows.begin; row < rows.end; row += kWidth) {
    const int64_t n = std::min<int64_t>(kWidth, rows.end - row);
    std::fill_n(results, padded * kWidth, 0.0f);
    const int64_t found = units_used(x, {row, row + n}, inputs, units);
    copy_panel<1>(Right<true>{of.grad_outputs, layer.outputs, layer.outputs, order}, row, n, panel);
    for (int64_t i = 0; i < found; i += kUnits)
      multiply_tile<kUnits, 1>(Left<false>{weight, layer.outputs, Order{units}}, {i, std::min(i + kUnits, found)},
                               {0, kWidth, panel}, AllTerms{layer.outputs}, Results{units, results});
    for (int64_t j = 0; j < count; j += kWidth) {
      Vector square[kWidth];
#pragma GCC unroll 16
      for (int k = 0; k < kWidth; ++k) square[k] = Vector::load(results + (j + k) * kWidth);
      transpose(square);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = order[row + i] * layer.inputs + inputs.begin + j;
        store(square[i].zero_unless_positive(load(of.x + at, count - j)), grad_inputs + at, count - j);
      }
    }
  }
}

// The product of the transpose of factors [rows, count], which has few columns, and values [rows, columns]. It fills
// the columns `some` of sums [count + 1, columns]; the last row holds the sums of the values themselves. The rows are
// read in order, so each comes from memory once and the sums stay in the first-level cache.
void few_sums(const float* factors, int64_t count, const float* values, int64_t columns, int64_t rows, Range some,
              float* sums) {
  constexpr int64_t kTogether = 4;
  for (int64_t i = 0; i <= count; ++i) std::fill(sums + i * columns + some.begin, sums + i * columns + some.end, 0.0f);
  for (int64_t r = 0; r < rows; r += kTogether) {
    const int64_t n = std::min(kTogether, rows - r);
    for (int64_t j = some.begin; j < some.end; j += kWidth) {
      const int64_t width = some.end - j;
      Vector v[kTogether];
      for (int64_t k = 0; k < n; ++k) v[k] = load(values + (r + k) * columns + j, width);
      for (int64_t i = 0; i < count; ++i) {
        Vector sum = load(sums + i * columns + j, width);
        for (int64_t k = 0; k < n; ++k) sum = Vector::all(factors[(r + k) * count + i]).times_plus(v[k], sum);
        store(sum, sums + i * columns + j, width);
      }
      Vector sum = load(sums + count * columns + j, width);
      for (int64_t k = 0; k < n; ++k) sum = sum + v[k];
      store(sum, sums + count * columns + j, width);
    }
  }
}

void update(const Linear& layer, const LayerRows& of, const Moments& moments, const AdamStep& adam, Range inputs,
            Range outputs) {
  const Parameters parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam};
  if (layer.outputs <= kFew) {
    float* const sums = buffer<1>((layer.outputs + 1) * layer.inputs);  // of the weight's transpose
    few_sums(of.grad_outputs, layer.outputs, of.x, layer.inputs, of.rows, inputs, sums);
    float* const gradient = buffer<2>(layer.inputs * layer.outputs);
    for (int64_t i = inputs.begin; i < inputs.end; ++i)
      for (int64_t j = 0; j < layer.outputs; ++j) gradient[i * layer.outputs + j] = sums[j * layer.inputs + i];
    const int64_t end = inputs.end * layer.outputs;
    for (int64_t i = inputs.begin * layer.outputs; i < end; i += kWidth)
      parameters.take(0, i, load(gradient + i, end - i), end - i);
    return;
  }
  multiply_by_rows<kRows, kVectors>(Left<true>{of.x, layer.inputs}, inputs,
                                    Right<false>{of.grad_outputs, layer.outputs, of.rows}, outputs, AllTerms{of.rows},
                                    parameters);
}

void update_few_inputs(const Linear& layer, const LayerRows& of, const Moments& moments, const AdamStep& adam,
                       Range outputs) {
  float* const sums = buffer<1>((layer.inputs + 1) * layer.outputs);
  few_sums(of.x, layer.inputs, of.grad_outputs, layer.outputs, of.rows, outputs, sums);
  const Parameters weight{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam};
  const Parameters bias{layer.bias, moments.bias_mean, moments.bias_square, 0, adam};
  for (int64_t j = outputs.begin; j < outputs.end; j += kWidth) {
    const int64_t count = outputs.end - j;
    for (int64_t i = 0; i < layer.inputs; ++i) weight.take(i, j, load(sums + i * layer.outputs + j, count), count);
    bias.take(0, j, load(sums + layer.inputs * layer.outputs + j, count), count);
  }
}

// Splits the `columns` of x [rows, stride] into blocks of `block` columns. For block i, writes the rows with a nonzero
// element to `used` from used[i * rows] on, and adds their number to counts[i].
template <int block>
void rows_used(const float* x, int64_t rows, int64_t stride, Range columns, int32_t* used, int32_t* counts) {
  constexpr uint32_t kBlockBits = (1u << block) - 1;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = columns.begin; j < columns.end; j += kWidth) {
      uint32_t bits = load(x + i * stride + j, columns.end - j).nonzero();
      for (int64_t b = (j - columns.begin) / block; bits != 0; bits >>= block, ++b)
        if (bits & kBlockBits) used[b * rows + counts[b]++] = static_cast<int32_t>(i);
    }
}

// The product of the transpose of x [rows, stride] and the gradient in the outputs. The sums run over the rows with
// nonzero inputs.
template <int block, int vectors, class Product>
void multiply_listed(const float* x, int64_t stride, const LayerRows& of, int64_t columns, Range inputs, Range outputs,
                     const Product& product) {
  const int64_t blocks = (inputs.end - inputs.begin + block - 1) / block;
  int32_t* const used = buffer<1, int32_t>(blocks * of.rows);
  int32_t* const counts = buffer<2, int32_t>(blocks);
  std::fill_n(counts, blocks, 0);
  rows_used<block>(x, of.rows, stride, inputs, used, counts);
  multiply_by_rows<block, vectors>(Left<true>{x, stride}, inputs, Right<false>{of.grad_outputs, columns, of.rows},
                                   outputs, ListedTerms{used, counts, of.rows, block, inputs.begin}, product);
}

// Updates the weight. Row order[i] of the weight belongs to input i of x [rows, stride].
template <int block, int vectors>
void update_listed(const Linear& layer, const float* x, int64_t stride, const LayerRows& of, const Moments& moments,
                   const AdamStep& adam, Range inputs, Range outputs, Order order) {
  multiply_listed<block, vectors>(
      x, stride, of, layer.outputs, inputs, outputs,
      Parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam, order});
}

void update_sparse(const Linear& layer, const LayerRows& of, const Moments& moments, const AdamStep& adam, Range inputs,
                   Range outputs) {
  update_listed<kSparseRows, kSparseVectors>(layer, of.x, layer.inputs, of, moments, adam, inputs, outputs, Order{});
}

// Sorts the units `columns` of x [rows, stride] by which of the first rows use them.
void sort_units(const float* x, int64_t rows, int64_t stride, Range columns, int32_t* order) {
  constexpr int64_t kRowsCompared = 32;
  const int64_t count = columns.end - columns.begin;
  uint32_t* const patterns = buffer<1, uint32_t>(count);
  std::fill_n(patterns, count, 0);
  for (int64_t i = 0; i < std::min(rows, kRowsCompared); ++i)
    for (int64_t j = 0; j < count; ++j) patterns[j] = patterns[j] * 2 + (x[i * stride + columns.begin + j] != 0.0f);
  uint64_t* const keys = buffer<1, uint64_t>(count);
  for (int64_t j = 0; j < count; ++j) keys[j] = uint64_t{patterns[j]} << 32 | static_cast<uint64_t>(columns.begin + j);
  std::sort(keys, keys + count);
  for (int64_t j = 0; j < count; ++j) order[j] = static_cast<int32_t>(keys[j] & 0xffffffff);
}

// The update of a layer behind a ReLU. It groups units that are used by nearly the same rows. Early in a training, four
// adjacent units of the decoder use 95 % of the rows, and four sorted ones use 66 %. This shortens the decoder's update
// by a fifth with AVX-512 and by a tenth with AVX2.
void update_sorted(const Linear& layer, const LayerRows& of, const Moments& moments, const AdamStep& adam, Range inputs,
                   Range outputs) {
  const int64_t count = inputs.end - inputs.begin;
  int32_t* const units = buffer<3, int32_t>(count);
  sort_units(of.x, of.rows, layer.inputs, inputs, units);
  float* const x = buffer<2>(of.rows * count);
  for (int64_t i = 0; i < of.rows; ++i)
    for (int64_t j = 0; j < count; ++j) x[i * count + j] = of.x[i * layer.inputs + units[j]];
  update_listed<kSortedRows, kSortedVectors>(layer, x, count, of, moments, adam, {0, count}, outputs, Order{units});
}

void update_bias(const Linear& layer, const LayerRows& of, const Moments& moments, const AdamStep& adam,
                 Range outputs) {
  const Parameters to{layer.bias, moments.bias_mean, moments.bias_square, 0, adam};
  float* const sums = buffer<1>(layer.outputs);
  few_sums(nullptr, 0, of.grad_outputs, layer.outputs, of.rows, outputs, sums);
  for (int64_t j = outputs.begin; j < outputs.end; j += kWidth)
    to.take(0, j, load(sums + j, outputs.end - j), outputs.end - j);
}

void move_average(float* average, const float* parameter, float rate, Range some) {
  for (int64_t i = some.begin; i < some.end; ++i) average[i] = fma32(rate, parameter[i] - average[i], average[i]);
}

// --- which inputs are not 0 ---

int32_t columns_used(const float* x, int64_t columns, const int32_t* rows, int64_t count, int32_t* used) {
  int32_t found = 0;
  for (int64_t j = 0; j < columns; j += kWidth) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < count; ++i) bits |= load(x + rows[i] * columns + j, columns - j).nonzero();
    for (; bits != 0; bits &= bits - 1) used[found++] = static_cast<int32_t>(j) + __builtin_ctz(bits);
  }
  return found;
}

}  // namespace
}  // namespace aae

#include "gradient_loops.h"

namespace aae {

extern const PerceptronLoops AAE_PERCEPTRON_LOOPS = {
    kWidth,       kSparseRows,   kRows,         forward,           forward_sparse,     backward, backward_listed,
    update,       update_sparse, update_sorted, update_few_inputs, update_bias,        gradient, apply_adam,
    columns_used, move_average,  cross_entropy, sample_posterior,  posterior_gradient,
};

}  // namespace aae
