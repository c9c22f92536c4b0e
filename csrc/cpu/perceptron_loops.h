// The body of perceptron_<isa>.cpp, which sets the instruction set and names the table.
//
// A product is made in tiles: kRows rows times kVectors vectors of outputs, held in registers while the sum runs. What
// a tile multiplies with, a panel of the second matrix, is copied first, so that it lies in one piece and its last
// vectors are filled with zeros.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../normal.h"
#include "perceptron_isa.h"

namespace aae {
namespace {

// --- vectors ---

#if AAE_VECTOR_WIDTH == 16
struct Vector {
  static constexpr int width = 16;
  __m512 v;
  static Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vector all(float x) { return {_mm512_set1_ps(x)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void add_product(Vector a, Vector b) { v = _mm512_fmadd_ps(a.v, b.v, v); }
  uint32_t nonzero() const { return _mm512_cmpneq_ps_mask(v, _mm512_setzero_ps()); }
};
constexpr int kRows = 8;
#elif AAE_VECTOR_WIDTH == 8
struct Vector {
  static constexpr int width = 8;
  __m256 v;
  static Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vector all(float x) { return {_mm256_set1_ps(x)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void add_product(Vector a, Vector b) { v = _mm256_fmadd_ps(a.v, b.v, v); }
  uint32_t nonzero() const { return _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)); }
};
constexpr int kRows = 4;
#else
struct Vector {
  static constexpr int width = 4;
  float v[4];
  static Vector load(const float* p) {
    Vector a;
    memcpy(a.v, p, sizeof a.v);
    return a;
  }
  static Vector all(float x) { return {{x, x, x, x}}; }
  void store(float* p) const { memcpy(p, v, sizeof v); }
  void add_product(Vector a, Vector b) {
    for (int i = 0; i < 4; ++i) v[i] = fma32(a.v[i], b.v[i], v[i]);
  }
  uint32_t nonzero() const {  // a bit for each
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= uint32_t{v[i] != 0.0f} << i;
    return bits;
  }
};
constexpr int kRows = 4;
#endif

constexpr int kWidth = Vector::width;
constexpr int kVectors = 3;

// A buffer of this thread's, at least `size` long, which keeps its content until the next call with its number. It
// begins with a cache line, because vectors that straddle two are read at half the speed.
template <int number>
float* buffer(int64_t size) {
  struct alignas(64) Line {
    float of[16];
  };
  thread_local std::vector<Line> memory;
  if (memory.size() * 16 < static_cast<size_t>(size)) memory.resize((size + 15) / 16);
  return memory.data()->of;
}

// --- tiles ---

// A matrix to read element by element, row-major with rows of `stride`, or the transpose of one.
template <bool transposed>
struct Strided {
  const float* data;
  int64_t stride;
  const float* at(int64_t i, int64_t k) const { return data + (transposed ? k * stride + i : i * stride + k); }
};

// tile [rows, vectors * width] = start + sum over k < terms of a(i + row, k) panel[k]; start [vectors * width].
template <int rows, int vectors, bool transposed>
void multiply_tile(Strided<transposed> a, int64_t i, const float* __restrict panel, int64_t terms, const float* start,
                   float* __restrict tile) {
  Vector sum[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) sum[r][v] = Vector::load(start + v * kWidth);
  for (int64_t k = 0; k < terms; ++k) {
    Vector b[vectors];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) b[v] = Vector::load(panel + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const Vector x = Vector::all(*a.at(i + r, k));
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) sum[r][v].add_product(x, b[v]);
    }
    panel += vectors * kWidth;
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; ++v) sum[r][v].store(tile + (r * vectors + v) * kWidth);
}

// Copies columns [0, count) of `terms` rows of b, filled up with zeros to whole vectors.
template <int vectors>
void copy_panel(const float* b, int64_t stride, int64_t terms, int64_t count, float* __restrict panel) {
  constexpr int64_t room = vectors * kWidth;
  for (int64_t k = 0; k < terms; ++k, b += stride, panel += room) {
    if (count == room) {
      for (int v = 0; v < vectors; ++v) Vector::load(b + v * kWidth).store(panel + v * kWidth);
    } else {
      std::copy_n(b, count, panel);
      std::fill(panel + count, panel + room, 0.0f);
    }
  }
}

template <int vectors, bool transposed, class Product>
void multiply_panel(Strided<transposed> a, Range rows, const float* b, int64_t stride, int64_t terms,
                    const float* start, int64_t column, int64_t count, const Product& product) {
  constexpr int64_t room = vectors * kWidth;
  float* panel = buffer<0>(terms * kVectors * kWidth);
  copy_panel<vectors>(b + column, stride, terms, count, panel);
  float first[room] = {};
  if (start != nullptr) std::copy_n(start + column, count, first);

  alignas(64) float sums[kRows * room];
  int64_t i = rows.begin;
  for (; i + kRows <= rows.end; i += kRows) {
    product.prepare(i, kRows, column, count);
    multiply_tile<kRows, vectors>(a, i, panel, terms, first, sums);
    product.finish(i, kRows, column, count, sums, room);
  }
  for (; i < rows.end; ++i) {
    multiply_tile<1, vectors>(a, i, panel, terms, first, sums);
    product.finish(i, 1, column, count, sums, room);
  }
}

// The product of a [rows, terms] and b [terms, columns], row-major with rows of `stride`, tile by tile.
// product.finish(i, rows, column, count, sums, room) takes a tile of `rows` rows from i and `count` columns, where
// sums[r * room + c] is start[column + c] + sum over k < terms of a(i + r, k) b[k][column + c]; start may be null.
// product.prepare(i, rows, column, count) is called before a tile is computed, to fetch what finish will need.
template <bool transposed, class Product>
void multiply(Strided<transposed> a, Range rows, const float* b, int64_t stride, int64_t terms, const float* start,
              Range columns, const Product& product) {
  for (int64_t column = columns.begin; column < columns.end;) {
    const int64_t vectors = std::min<int64_t>(kVectors, (columns.end - column + kWidth - 1) / kWidth);
    const int64_t count = std::min(columns.end - column, vectors * kWidth);
    if (vectors == 3) multiply_panel<3>(a, rows, b, stride, terms, start, column, count, product);
    else if (vectors == 2) multiply_panel<2>(a, rows, b, stride, terms, start, column, count, product);
    else multiply_panel<1>(a, rows, b, stride, terms, start, column, count, product);
    column += count;
  }
}

// --- what becomes of the sums ---

void fetch(const float* p, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(p + i, 1);
}

struct Outputs {
  float* y;
  int64_t stride;
  bool relu;

  void keep(const float* __restrict sums, int64_t count, float* __restrict to) const {
    if (relu)
      for (int64_t c = 0; c < count; ++c) to[c] = sums[c] < 0.0f ? 0.0f : sums[c];  // keeps NaN
    else
      for (int64_t c = 0; c < count; ++c) to[c] = sums[c];
  }

  void prepare(int64_t, int64_t, int64_t, int64_t) const {}
  void finish(int64_t i, int64_t rows, int64_t column, int64_t count, const float* sums, int64_t room) const {
    for (int64_t r = 0; r < rows; ++r) keep(sums + r * room, count, y + (i + r) * stride + column);
  }
};

struct InInputs {
  const float* x;
  float* in_inputs;
  int64_t inputs;
  bool relu;

  void prepare(int64_t, int64_t, int64_t, int64_t) const {}
  void finish(int64_t i, int64_t rows, int64_t column, int64_t count, const float* sums, int64_t room) const {
    for (int64_t r = 0; r < rows; ++r) {
      const float *from = sums + r * room, *of = x + (i + r) * inputs + column;
      float* to = in_inputs + (i + r) * inputs + column;
      for (int64_t c = 0; c < count; ++c) to[c] = relu && of[c] <= 0.0f ? 0.0f : from[c];
    }
  }
};

// The sums are of the transpose: row i belongs to input i, column c to row c of the minibatch.
struct TurnedInInputs {
  const float* x;
  float* in_inputs;
  int64_t inputs;
  bool relu;

  void prepare(int64_t, int64_t, int64_t, int64_t) const {}
  void finish(int64_t i, int64_t rows, int64_t column, int64_t count, const float* sums, int64_t room) const {
    for (int64_t c = 0; c < count; ++c) {
      const int64_t at = (column + c) * inputs + i;
      for (int64_t r = 0; r < rows; ++r)
        in_inputs[at + r] = relu && x[at + r] <= 0.0f ? 0.0f : sums[r * room + c];
    }
  }
};

// Adam with the sums as gradient.
struct Parameters {
  float *parameter, *mean, *square;
  int64_t stride;
  AdamStep adam;

  void step(const float* __restrict gradient, int64_t count, int64_t at) const {
    float *__restrict p = parameter + at, *__restrict m = mean + at, *__restrict s = square + at;
    for (int64_t c = 0; c < count; ++c) {
      const float g = gradient[c];
      m[c] = fma32(adam.mean_rate, g - m[c], m[c]);
      s[c] = fma32(adam.square_rate, fma32(g, g, -s[c]), s[c]);
      p[c] = fma32(-adam.step_size, m[c] / fma32(adam.root_scale, sqrt32(s[c]), adam.epsilon), p[c]);
    }
  }

  void prepare(int64_t i, int64_t rows, int64_t column, int64_t count) const {
    for (int64_t r = 0; r < rows; ++r)
      for (float* array : {parameter, mean, square}) fetch(array + (i + r) * stride + column, count);
  }
  void finish(int64_t i, int64_t rows, int64_t column, int64_t count, const float* sums, int64_t room) const {
    for (int64_t r = 0; r < rows; ++r) step(sums + r * room, count, (i + r) * stride + column);
  }
};

// --- the loops ---

void forward(const Linear& layer, const float* x, float* y, Range rows, Range outputs, bool relu) {
  multiply(Strided<false>{x, layer.inputs}, rows, layer.weight, layer.outputs, layer.inputs, layer.bias, outputs,
           Outputs{y, layer.outputs, relu});
}

void backward(const Linear& layer, const float* gradient, const float* turned, const float* x, float* in_inputs,
              Range rows, Range inputs, bool relu) {
  multiply(Strided<false>{gradient, layer.outputs}, rows, turned, layer.inputs, layer.outputs, nullptr, inputs,
           InInputs{x, in_inputs, layer.inputs, relu});
}

void backward_turned(const Linear& layer, const float* turned, const float* x, float* in_inputs, int64_t n,
                     Range inputs, bool relu) {
  multiply(Strided<false>{layer.weight, layer.outputs}, inputs, turned, n, layer.outputs, nullptr, {0, n},
           TurnedInInputs{x, in_inputs, layer.inputs, relu});
}

void update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
            const AdamStep& adam, Range inputs, Range outputs) {
  multiply(Strided<true>{x, layer.inputs}, inputs, gradient, layer.outputs, n, nullptr, outputs,
           Parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam});
}

void update_bias(const Linear& layer, const float* gradient, int64_t n, const Moments& moments, const AdamStep& adam,
                 Range outputs) {
  const int64_t count = outputs.end - outputs.begin, at = outputs.begin;
  float* sums = buffer<2>(count);
  std::fill_n(sums, count, 0.0f);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < count; ++j) sums[j] += gradient[i * layer.outputs + at + j];
  Parameters{layer.bias, moments.bias_mean, moments.bias_square, 0, adam}.step(sums, count, at);
}

// sums [vectors * width] += sum over the entries up to index `end` of value * panel[index - first].
// Returns the first entry that is left.
template <int vectors>
const SparseInputs::Entry* multiply_entries(const SparseInputs::Entry* entry, const SparseInputs::Entry* last,
                                            int32_t first, int32_t end, const float* panel, float* sums) {
  Vector sum[vectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) sum[v] = Vector::load(sums + v * kWidth);
  for (; entry != last && entry->index < end; ++entry) {
    const float* row = panel + (entry->index - first) * (vectors * kWidth);
    const Vector x = Vector::all(entry->value);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[v].add_product(x, Vector::load(row + v * kWidth));
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) sum[v].store(sums + v * kWidth);
  return entry;
}

// Sparse products go through the outputs in strips of this many, and through the inputs in pieces, so that the panel
// that is read again and again fits the first-level cache.
constexpr int kStripVectors = 8;
constexpr int64_t kStrip = kStripVectors * kWidth;
constexpr int64_t kPiece = 8192 / kStrip;

int32_t gather(const float* x, int64_t columns, SparseInputs::Entry* entries) {
  int32_t count = 0;
  int64_t j = 0;
  for (; j + kWidth <= columns; j += kWidth)
    for (uint32_t left = Vector::load(x + j).nonzero(); left != 0; left &= left - 1) {
      const int32_t at = static_cast<int32_t>(j) + __builtin_ctz(left);
      entries[count++] = {at, x[at]};
    }
  for (; j < columns; ++j)
    if (x[j] != 0.0f) entries[count++] = {static_cast<int32_t>(j), x[j]};
  return count;
}

void forward_sparse(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  const Outputs to{y, layer.outputs, relu};
  float* panel = buffer<0>(kPiece * kStrip);
  float* sums = buffer<1>((rows.end - rows.begin) * kStrip);
  std::vector<const SparseInputs::Entry*> next(rows.end - rows.begin);
  for (int64_t column = outputs.begin; column < outputs.end; column += kStrip) {
    const int64_t count = std::min(kStrip, outputs.end - column);
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      next[i - rows.begin] = &x.by_row[i * x.columns];
      std::copy_n(layer.bias + column, count, sums + (i - rows.begin) * kStrip);
    }
    for (int64_t first = 0; first < layer.inputs; first += kPiece) {
      const int64_t end = std::min(first + kPiece, layer.inputs);
      const float* piece = layer.weight + first * layer.outputs + column;
      copy_panel<kStripVectors>(piece, layer.outputs, end - first, count, panel);
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        const int64_t r = i - rows.begin;
        next[r] = multiply_entries<kStripVectors>(next[r], &x.by_row[i * x.columns] + x.row_count[i], first, end, panel,
                                                  sums + r * kStrip);
      }
    }
    to.finish(rows.begin, rows.end - rows.begin, column, count, sums, kStrip);
  }
}

void update_sparse(const Linear& layer, const SparseInputs& x, const float* gradient, const Moments& moments,
                   const AdamStep& adam, Range outputs) {
  constexpr int64_t kAhead = 4;  // rows: the products of one take less time than memory does
  const Parameters to{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam};
  float* panel = buffer<0>(x.rows * kStrip);
  for (int64_t column = outputs.begin; column < outputs.end; column += kStrip) {
    const int64_t count = std::min(kStrip, outputs.end - column);
    copy_panel<kStripVectors>(gradient + column, layer.outputs, x.rows, count, panel);
    for (int64_t input = 0; input < layer.inputs; ++input) {
      to.prepare(std::min(input + kAhead, layer.inputs - 1), 1, column, count);
      float sums[kStrip] = {};
      const SparseInputs::Entry* entries = &x.by_column[input * x.rows];
      multiply_entries<kStripVectors>(entries, entries + x.column_count[input], 0, x.rows, panel, sums);
      to.finish(input, 1, column, count, sums, kStrip);
    }
  }
}

// --- binary cross-entropy ---

// e^x for x <= 0, by Cephes' expf: x = k ln 2 + r, and a polynomial in r.
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
  return float_of(bits_of(p) + static_cast<int32_t>(k) * (1 << 23));
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
    kWidth, forward,        backward,      backward_turned, update,
    gather, forward_sparse, update_sparse, update_bias,     cross_entropy};

}  // namespace aae
