// The body of perceptron_<isa>.cpp, which sets the instruction set and names the table.
#include <algorithm>
#include <type_traits>

#include "perceptron_tiles.h"
#include "prefetch.h"

namespace aae {
namespace {

// The shape of a tile: as many sums as there are registers for. The more rows share a list of terms, the longer it is.
constexpr int kRows = kWidth == 16 ? 8 : 4, kVectors = 3;  // AVX-512 has twice the registers
constexpr int kSparseRows = kRows / 2, kSparseVectors = 4;

// Tiles of this shape suit layers with kFew inputs or outputs.
constexpr int kFewRows = 2, kFewVectors = 2;

// --- what becomes of the sums ---

// What a tile writes is fetched as many rows ahead: lines that another thread has read or written since take longer to
// come than a tile to compute.
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

struct InInputs {
  const float* x;
  float* in_inputs;
  int64_t inputs;
  bool relu;

  Vector start(int64_t i, int64_t j, int64_t) const {
    will_write(in_inputs, (i + kRowsAhead) * inputs + j);
    return Vector::all(0.0f);
  }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const {
    const int64_t at = i * inputs + j;
    store(relu ? sums.zero_unless_positive(load(x + at, count)) : sums, in_inputs + at, count);
  }
};

// Adam with the sums as gradient.
struct Parameters {
  float *parameter, *mean, *square;
  int64_t stride;
  AdamStep adam;

  Vector start(int64_t i, int64_t j, int64_t) const {
    for (const float* p : {parameter, mean, square}) will_write(p, i * stride + j);
    return Vector::all(0.0f);
  }
  void take(int64_t i, int64_t j, Vector g, int64_t count) const {
    float *const p = parameter + i * stride + j, *const m = mean + i * stride + j, *const s = square + i * stride + j;
    Vector average = load(m, count), square_average = load(s, count);
    average = Vector::all(adam.mean_rate).times_plus(g - average, average);
    square_average = Vector::all(adam.square_rate).times_plus(g.times_minus(g, square_average), square_average);
    store(average, m, count);
    store(square_average, s, count);
    const Vector root = Vector::all(adam.root_scale).times_plus(square_average.root(), Vector::all(adam.epsilon));
    store(Vector::all(-adam.step_size).times_plus(average / root, load(p, count)), p, count);
  }
};

// Row i of the sums becomes column i of y: a product with few columns is computed as the transpose of itself, so that
// vectors go along its many rows.
struct Turned {
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
    return multiply<kFewRows, kFewVectors>(Strided<true>{layer.weight, layer.outputs}, outputs,
                                           Second<true>{x, layer.inputs, layer.inputs}, rows, AllTerms{layer.inputs},
                                           Turned{layer.bias, y, layer.outputs, relu});
  multiply<kRows, kVectors>(Strided<false>{x, layer.inputs}, rows,
                            Second<false>{layer.weight, layer.outputs, layer.inputs}, outputs, AllTerms{layer.inputs},
                            Outputs{layer.bias, y, layer.outputs, relu});
}

template <int block, int vectors>
void forward_listed(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  const Order order{x.row_order.data()};
  multiply<block, vectors>(Strided<false>{x.x, layer.inputs, order}, rows,
                           Second<false>{layer.weight, layer.outputs, layer.inputs}, outputs,
                           ListedTerms{x.columns_used.data(), x.columns_count.data(), x.columns, block},
                           Outputs{layer.bias, y, layer.outputs, relu, order});
}

void forward_sparse(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  if (x.block == kSparseRows) forward_listed<kSparseRows, kSparseVectors>(layer, x, y, rows, outputs, relu);
  else forward_listed<kRows, kVectors>(layer, x, y, rows, outputs, relu);
}

void backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, Range rows, Range inputs,
              bool relu) {
  if (layer.inputs <= kFew) {
    multiply<kFewRows, kFewVectors>(Strided<false>{layer.weight, layer.outputs}, inputs,
                                    Second<true>{gradient, layer.outputs, layer.outputs}, rows,
                                    AllTerms{layer.outputs}, Turned{nullptr, in_inputs, layer.inputs, false});
    for (int64_t i = rows.begin * layer.inputs; relu && i < rows.end * layer.inputs; ++i)
      if (x[i] <= 0.0f) in_inputs[i] = 0.0f;
    return;
  }
  multiply<kRows, kVectors>(Strided<false>{gradient, layer.outputs}, rows,
                            Second<true>{layer.weight, layer.outputs, layer.outputs}, inputs, AllTerms{layer.outputs},
                            InInputs{x, in_inputs, layer.inputs, relu});
}

void update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
            const AdamStep& adam, Range inputs, Range outputs) {
  const Parameters parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam};
  if (layer.outputs <= kFew) {
    float* sums = buffer<1>(layer.inputs * layer.outputs);
    multiply<kFewRows, kVectors>(Strided<true>{gradient, layer.outputs}, outputs, Second<false>{x, layer.inputs, n},
                                 inputs, AllTerms{n}, Turned{nullptr, sums, layer.outputs, false});
    const int64_t end = inputs.end * layer.outputs;
    for (int64_t i = inputs.begin * layer.outputs; i < end; i += kWidth)
      parameters.take(0, i, load(sums + i, end - i), end - i);
    return;
  }
  const auto by_rows = [&](auto block) {
    multiply_by_rows<block, kVectors>(Strided<true>{x, layer.inputs}, inputs,
                                      Second<false>{gradient, layer.outputs, n}, outputs, AllTerms{n}, parameters);
  };
  if (layer.inputs <= kFew) by_rows(std::integral_constant<int, kFewRows>());
  else by_rows(std::integral_constant<int, kRows>());
}

void update_sparse(const Linear& layer, const SparseInputs& x, const float* gradient, const Moments& moments,
                   const AdamStep& adam, Range inputs, Range outputs) {
  multiply_by_rows<kSparseRows, kSparseVectors>(
      Strided<true>{x.x, layer.inputs}, inputs, Second<false>{gradient, layer.outputs, x.rows}, outputs,
      ListedTerms{x.rows_used.data(), x.rows_count.data(), x.rows, kSparseRows},
      Parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam});
}

void update_bias(const Linear& layer, const float* gradient, int64_t n, const Moments& moments, const AdamStep& adam,
                 Range outputs) {
  const Parameters to{layer.bias, moments.bias_mean, moments.bias_square, 0, adam};
  for (int64_t j = outputs.begin; j < outputs.end; j += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, outputs.end - j);
    Vector sums = Vector::all(0.0f);
    for (int64_t i = 0; i < n; ++i) sums = sums + load(gradient + i * layer.outputs + j, count);
    to.take(0, j, sums, count);
  }
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

void rows_used(const float* x, int64_t rows, int64_t columns, Range some, int32_t* used, int32_t* counts) {
  constexpr uint32_t kBlockBits = (1u << kSparseRows) - 1;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = some.begin; j < some.end; j += kWidth) {
      uint32_t bits = load(x + i * columns + j, some.end - j).nonzero();
      for (int64_t block = j / kSparseRows; bits != 0; bits >>= kSparseRows, ++block)
        if (bits & kBlockBits) used[block * rows + counts[block]++] = static_cast<int32_t>(i);
    }
}

// --- what losses are made of ---

// e^x for x < 88.5, by Cephes' expf: x = k ln 2 + r, and a polynomial in r. Below -87 it is e^-87.
AAE_HD float exp32(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float k = fma32(x, 0x1.715476p+0f, 0x1.8p23f) - 0x1.8p23f;  // to the nearest integer
  float r = fma32(k, -0x1.62e400p-1f, x);
  r = fma32(k, -0x1.7f7d1cp-20f, r);
  float p = 1.9875691500e-4f;
  p = fma32(p, r, 1.3981999507e-3f);
  p = fma32(p, r, 8.3334519073e-3f);
  p = fma32(p, r, 4.1665795894e-2f);
  p = fma32(p, r, 1.6666665459e-1f);
  p = fma32(p, r, 5.0000001201e-1f);
  p = fma32(r * r, p, r) + 1.0f;
  return float_of(bits_of(p) + (static_cast<uint32_t>(static_cast<int32_t>(k)) << 23));
}

void exponential(const float* x, float* y, Range some) {
  for (int64_t i = some.begin; i < some.end; ++i) y[i] = x[i] >= 88.5f ? HUGE_VALF : exp32(x[i]);
}

// The loss softplus(x) - target x; the logit becomes scale (sigmoid(x) - target).
AAE_HD float cross_entropy_of(float& logit, float target, float scale) {
  const float x = logit;
  const float e = exp32(-(x < 0.0f ? -x : x));
  const float one_more = 1.0f + e;
  const float log1p = log32(one_more) + (e - (one_more - 1.0f));
  const float sigmoid = (x < 0.0f ? e : 1.0f) / one_more;
  logit = scale * (sigmoid - target);
  return fma32(-target, x, (x > 0.0f ? x : 0.0f) + log1p);
}

void cross_entropy(float* logits, const float* targets, float target, int64_t outputs, float scale, Range rows,
                   double* row_losses) {
  // Sixteen sums a row whatever the vectors' width, so that the order of the terms is the same everywhere.
  constexpr int64_t kSums = 16;
  float* losses = buffer<3>(outputs + kSums);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    float* x = logits + i * outputs;
    if (targets != nullptr)
      for (int64_t j = 0; j < outputs; ++j) losses[j] = cross_entropy_of(x[j], targets[i * outputs + j], scale);
    else
      for (int64_t j = 0; j < outputs; ++j) losses[j] = cross_entropy_of(x[j], target, scale);
    std::fill_n(losses + outputs, kSums, 0.0f);
    float sums[kSums] = {};
    for (int64_t j = 0; j < outputs; j += kSums)
      for (int64_t s = 0; s < kSums; ++s) sums[s] += losses[j + s];
    double sum = 0.0;
    for (float part : sums) sum += part;
    row_losses[i] = sum;
  }
}

}  // namespace

extern const PerceptronLoops AAE_PERCEPTRON_LOOPS = {
    kWidth,        kSparseRows, kRows,        forward,   forward_sparse, backward, update,
    update_sparse, update_bias, columns_used, rows_used, exponential, cross_entropy};

}  // namespace aae
