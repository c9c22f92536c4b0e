// The body of perceptron_<isa>.cpp, which sets the instruction set and names the table.
//
// A product is made in tiles: kRows rows times kVectors vectors of outputs, held in registers while the sum runs and
// handed over from there. What a tile multiplies with, a panel of the second matrix, is copied first, so that it lies
// in one piece and its last vectors are filled with zeros.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "perceptron_isa.h"
#include "perceptron_vector.h"

namespace aae {
namespace {

// The shape of a tile: as many sums as there are registers for. The more rows share a list of terms, the longer it is.
constexpr int kRows = kWidth == 16 ? 8 : 4, kVectors = 3;  // AVX-512 has twice the registers
constexpr int kSparseRows = kRows / 2, kSparseVectors = 4;

// A buffer of this thread's, at least `size` long, which keeps its content until the next call with its number. It
// begins with a cache line, because vectors that straddle two are read at half the speed.
template <int number>
float* buffer(int64_t size) {
  struct alignas(64) Line {
    float of[16];
  };
  thread_local std::vector<Line> memory;
  if (memory.size() * 16 < static_cast<size_t>(size)) memory.resize((size + 15) / 16);
  return reinterpret_cast<float*>(memory.data());
}

// --- tiles ---

// A matrix to read element by element, row-major with rows of `stride`, or the transpose of one.
template <bool transposed>
struct Strided {
  const float* data;
  int64_t stride;
  const float* row(int64_t i) const { return data + (transposed ? i : i * stride); }
  int64_t step() const { return transposed ? stride : 1; }  // from one element of a row to the next
};

// The terms of the sums of a row: all, or those of a list that `block` rows share.
struct AllTerms {
  int64_t count;
  AllTerms of(int64_t) const { return *this; }
  int64_t operator[](int64_t k) const { return k; }
};

struct List {
  const int32_t* terms;
  int64_t count;
  int64_t operator[](int64_t k) const { return terms[k]; }
};

struct ListedTerms {
  const int32_t *lists, *counts;  // [blocks, longest], [blocks]
  int64_t longest, block;
  List of(int64_t i) const { return {lists + i / block * longest, counts[i / block]}; }
};

// The second matrix of a product, [rows, columns]: row-major with rows of `stride`, or the transpose of such a matrix.
template <bool transposed>
struct Second {
  const float* data;
  int64_t stride, rows;
};

// Columns [column, column + count) of the second matrix, each row filled up with zeros to whole vectors.
struct Panel {
  int64_t column, count;
  const float* data;  // [rows, vectors * kWidth]
};

// For a few rows i and the columns j of a panel: product.start plus the sum over the terms k of a(i, k) second(k, j)
// goes to product.take.
template <int most_rows, int vectors, bool transposed, class Terms, class Product>
void multiply_tile(Strided<transposed> a, Range rows, const Panel& panel, const Terms& terms, const Product& product) {
  Vector sum[most_rows][vectors];
  const float* row[most_rows];
#pragma GCC unroll 8
  for (int r = 0; r < most_rows; ++r) {
    const int64_t i = std::min(rows.begin + r, rows.end - 1);  // what the tile has too many is computed for nothing
    row[r] = a.row(i);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = product.start(i, panel.column + v * kWidth, panel.count - v * kWidth);
  }
  for (int64_t t = 0; t < terms.count; ++t) {
    const int64_t k = terms[t];
    Vector b[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) b[v] = Vector::load(panel.data + (k * vectors + v) * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < most_rows; ++r) {
      const Vector x = Vector::all(row[r][k * a.step()]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = x.times_plus(b[v], sum[r][v]);
    }
  }
  const auto hand_over = [&](auto whole) {
#pragma GCC unroll 8
    for (int r = 0; r < most_rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        if (whole || (rows.begin + r < rows.end && v * kWidth < panel.count))
          product.take(rows.begin + r, panel.column + v * kWidth, sum[r][v],
                       whole ? kWidth : panel.count - v * kWidth);
  };
  if (rows.end - rows.begin == most_rows && panel.count == vectors * kWidth) hand_over(std::true_type());
  else hand_over(std::false_type());
}

// Copies a panel to memory [rows, vectors * kWidth].
template <int vectors>
void copy_panel(const Second<false>& b, int64_t column, int64_t count, float* __restrict memory) {
  const float* from = b.data + column;
  for (int64_t k = 0; k < b.rows; ++k, from += b.stride, memory += vectors * kWidth) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) load(from + v * kWidth, count - v * kWidth).store(memory + v * kWidth);
  }
}

template <int vectors>
void copy_panel(const Second<true>& b, int64_t column, int64_t count, float* __restrict memory) {
  for (int64_t k = 0; k < b.rows; k += kWidth)
    for (int64_t j = 0; j < vectors * kWidth; j += kWidth) {
      Vector square[kWidth];
      for (int64_t i = 0; i < kWidth; ++i)
        square[i] = j + i < count ? load(b.data + (column + j + i) * b.stride + k, b.rows - k) : Vector::all(0.0f);
      transpose(square);
      for (int64_t i = 0; i < std::min<int64_t>(kWidth, b.rows - k); ++i)
        square[i].store(memory + (k + i) * vectors * kWidth + j);
    }
}

// Calls work(vectors, column, count) for every panel of `columns`: of `most` vectors, and of one where they do not fit.
template <int most, class Work>
void for_each_panel(Range columns, const Work& work) {
  int64_t column = columns.begin;
  for (; column + most * kWidth <= columns.end; column += most * kWidth)
    work(std::integral_constant<int, most>(), column, int64_t{most * kWidth});
  for (; column < columns.end; column += kWidth)
    work(std::integral_constant<int, 1>(), column, std::min<int64_t>(kWidth, columns.end - column));
}

// The product of a and b over `terms`: product.take(i, j, sums, count) gets the elements from (i, j) on, `count` or a
// whole vector of them, whichever is less. All panels are copied before a few rows at a time pass them: for products
// that go through more memory than the panels take, which then is row after row.
template <int block, int most, bool transposed, bool turned, class Terms, class Product>
void multiply_by_rows(Strided<transposed> a, Range rows, const Second<turned>& b, Range columns, const Terms& terms,
                      const Product& product) {
  const int64_t room = (columns.end - columns.begin + kWidth - 1) / kWidth * kWidth;
  float* memory = buffer<0>(b.rows * room);
  const auto panel_at = [&](int64_t column) { return memory + (column - columns.begin) * b.rows; };
  for_each_panel<most>(columns, [&](auto vectors, int64_t column, int64_t count) {
    copy_panel<vectors>(b, column, count, panel_at(column));
  });
  for (int64_t i = rows.begin; i < rows.end; i += block)
    for_each_panel<most>(columns, [&](auto vectors, int64_t column, int64_t count) {
      multiply_tile<block, vectors>(a, {i, std::min(i + block, rows.end)}, {column, count, panel_at(column)},
                                    terms.of(i), product);
    });
}

// With so few terms a product is as fast as memory: then it goes through it row by row.
constexpr int64_t kFewTerms = 8;

// The same, but all rows pass a panel before the next one is copied.
template <int block, int most, bool transposed, bool turned, class Terms, class Product>
void multiply(Strided<transposed> a, Range rows, const Second<turned>& b, Range columns, const Terms& terms,
              const Product& product) {
  if (b.rows <= kFewTerms) return multiply_by_rows<1, most>(a, rows, b, columns, terms, product);
  for_each_panel<most>(columns, [&](auto vectors, int64_t column, int64_t count) {
    float* memory = buffer<0>(b.rows * vectors * kWidth);
    copy_panel<vectors>(b, column, count, memory);
    for (int64_t i = rows.begin; i < rows.end; i += block)
      multiply_tile<block, vectors>(a, {i, std::min(i + block, rows.end)}, {column, count, memory}, terms.of(i),
                                    product);
  });
}

// --- what becomes of the sums ---

struct Outputs {
  const float* bias;
  float* y;
  int64_t stride;
  bool relu;

  Vector start(int64_t, int64_t j, int64_t count) const { return load(bias + j, count); }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const {
    store(relu ? sums.zero_if_negative() : sums, y + i * stride + j, count);
  }
};

struct InInputs {
  const float* x;
  float* in_inputs;
  int64_t inputs;
  bool relu;

  Vector start(int64_t, int64_t, int64_t) const { return Vector::all(0.0f); }
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

  Vector start(int64_t, int64_t, int64_t) const { return Vector::all(0.0f); }
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

// --- the loops ---

void forward(const Linear& layer, const float* x, float* y, Range rows, Range outputs, bool relu) {
  multiply<kRows, kVectors>(Strided<false>{x, layer.inputs}, rows,
                            Second<false>{layer.weight, layer.outputs, layer.inputs}, outputs, AllTerms{layer.inputs},
                            Outputs{layer.bias, y, layer.outputs, relu});
}

void forward_sparse(const Linear& layer, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu) {
  multiply<kSparseRows, kSparseVectors>(
      Strided<false>{x.x, layer.inputs}, rows, Second<false>{layer.weight, layer.outputs, layer.inputs}, outputs,
      ListedTerms{x.columns_used.data(), x.columns_count.data(), x.columns, kSparseRows},
      Outputs{layer.bias, y, layer.outputs, relu});
}

void backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, Range rows, Range inputs,
              bool relu) {
  multiply<kRows, kVectors>(Strided<false>{gradient, layer.outputs}, rows,
                            Second<true>{layer.weight, layer.outputs, layer.outputs}, inputs, AllTerms{layer.outputs},
                            InInputs{x, in_inputs, layer.inputs, relu});
}

void update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
            const AdamStep& adam, Range inputs, Range outputs) {
  multiply_by_rows<kRows, kVectors>(
      Strided<true>{x, layer.inputs}, inputs, Second<false>{gradient, layer.outputs, n}, outputs, AllTerms{n},
      Parameters{layer.weight, moments.weight_mean, moments.weight_square, layer.outputs, adam});
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

int32_t columns_used(const float* x, int64_t rows, int64_t columns, int32_t* used) {
  int32_t count = 0;
  for (int64_t j = 0; j < columns; j += kWidth) {
    uint32_t bits = 0;
    for (int64_t i = 0; i < rows; ++i) bits |= load(x + i * columns + j, columns - j).nonzero();
    for (; bits != 0; bits &= bits - 1) used[count++] = static_cast<int32_t>(j) + __builtin_ctz(bits);
  }
  return count;
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
  return float_of(bits_of(p) + (static_cast<uint32_t>(static_cast<int32_t>(k)) << 23));
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
    kWidth,   kSparseRows,  forward,       forward_sparse, backward, update, update_sparse,
    update_bias, columns_used, rows_used, cross_entropy};

}  // namespace aae
