// Matrix products for perceptron_loops.h.
//
// A product is computed in tiles of a few rows times a few vectors of columns. A tile's sums stay in registers until
// they are complete. Before that, the panel of the second matrix that the tile needs is copied, so that it is
// contiguous and its last vectors are padded with zeros.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "perceptron_isa.h"
#include "perceptron_vector.h"

namespace aae {
namespace {

// A thread-local buffer of at least `size` elements. It keeps its content until the next call with the same number and
// type. It is aligned to a cache line, because vectors that straddle two lines are read at half the speed.
template <int number, class T = float>
T* buffer(int64_t size) {
  struct alignas(64) Line {
    T of[16];
  };
  thread_local std::vector<Line> memory;
  if (memory.size() * 16 < static_cast<size_t>(size)) memory.resize((size + 15) / 16);
  return reinterpret_cast<T*>(memory.data());
}

// A permutation of rows. Without `rows`, the order is unchanged.
struct Order {
  const int32_t* rows = nullptr;
  int64_t operator[](int64_t i) const { return rows == nullptr ? i : rows[i]; }
};

// The first matrix of a product, which is read element by element: row-major with rows of `stride`, or the transpose of
// such a matrix.
template <bool transposed>
struct Left {
  const float* data;
  int64_t stride;
  Order order{};
  const float* row(int64_t i) const { return data + (transposed ? order[i] : order[i] * stride); }
  int64_t step() const { return transposed ? stride : 1; }  // from one element of a row to the next
};

// The terms of the sums of a row: all terms, or those in a list that `block` rows share.
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
  int64_t first;  // row of the first block
  List of(int64_t i) const { return {lists + (i - first) / block * longest, counts[(i - first) / block]}; }
};

// The second matrix of a product, [rows, columns]: row-major with rows of `stride`, or the transpose of such a matrix,
// whose columns may be in another order.
template <bool transposed>
struct Right {
  const float* data;
  int64_t stride, rows;
  Order order{};
};

// Columns [column, column + count) of the second matrix. Each row is padded with zeros to whole vectors.
struct Panel {
  int64_t column, count;
  const float* data;  // [rows, vectors * kWidth]
};

// Computes a tile. For a few rows i and the columns j of a panel, product.take receives product.start plus the sum over
// the terms k of a(i, k) b(k, j).
template <int most_rows, int vectors, bool transposed, class Terms, class Product>
void multiply_tile(Left<transposed> a, Range rows, const Panel& panel, const Terms& terms, const Product& product) {
  Vector sum[most_rows][vectors];
  const float* row[most_rows];
#pragma GCC unroll 16
  for (int r = 0; r < most_rows; ++r) {
    const int64_t i = std::min(rows.begin + r, rows.end - 1);  // surplus rows repeat the last one and are discarded
    row[r] = a.row(i);
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) sum[r][v] = product.start(i, panel.column + v * kWidth, panel.count - v * kWidth);
  }
  for (int64_t t = 0; t < terms.count; ++t) {
    const int64_t k = terms[t];
    Vector b[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) b[v] = Vector::load(panel.data + (k * vectors + v) * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < most_rows; ++r) {
      const Vector x = Vector::all(row[r][k * a.step()]);
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sum[r][v] = x.times_plus(b[v], sum[r][v]);
    }
  }
  const auto hand_over = [&](auto whole) {
#pragma GCC unroll 16
    for (int r = 0; r < most_rows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v)
        if (whole || (rows.begin + r < rows.end && v * kWidth < panel.count))
          product.take(rows.begin + r, panel.column + v * kWidth, sum[r][v], whole ? kWidth : panel.count - v * kWidth);
  };
  if (rows.end - rows.begin == most_rows && panel.count == vectors * kWidth) hand_over(std::true_type());
  else hand_over(std::false_type());
}

// Copies a panel to memory [rows, vectors * kWidth].
template <int vectors>
void copy_panel(const Right<false>& b, int64_t column, int64_t count, float* __restrict memory) {
  const float* from = b.data + column;
  for (int64_t k = 0; k < b.rows; ++k, from += b.stride, memory += vectors * kWidth) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) load(from + v * kWidth, count - v * kWidth).store(memory + v * kWidth);
  }
}

template <int vectors>
void copy_panel(const Right<true>& b, int64_t column, int64_t count, float* __restrict memory) {
  for (int64_t k = 0; k < b.rows; k += kWidth)
    for (int64_t j = 0; j < vectors * kWidth; j += kWidth) {
      Vector square[kWidth];
      for (int64_t i = 0; i < kWidth; ++i)
        square[i] =
            j + i < count ? load(b.data + b.order[column + j + i] * b.stride + k, b.rows - k) : Vector::all(0.0f);
      transpose(square);
      for (int64_t i = 0; i < std::min<int64_t>(kWidth, b.rows - k); ++i)
        square[i].store(memory + (k + i) * vectors * kWidth + j);
    }
}

// Calls work(vectors, column, count) for every panel of `columns`. A panel has `most` vectors, or one if fewer are
// left.
template <int most, class Work>
void for_each_panel(Range columns, const Work& work) {
  int64_t column = columns.begin;
  for (; column + most * kWidth <= columns.end; column += most * kWidth)
    work(std::integral_constant<int, most>(), column, int64_t{most * kWidth});
  for (; column < columns.end; column += kWidth)
    work(std::integral_constant<int, 1>(), column, std::min<int64_t>(kWidth, columns.end - column));
}

// The product of a and b over `terms`. product.take(i, j, sums, count) receives the elements from (i, j) on: `count` of
// them or one vector, whichever is less. All panels are copied first. Then each block of rows is multiplied with every
// panel. This suits products that access more memory than the panels occupy, because they then access it row by row.
template <int block, int most, bool transposed, bool b_transposed, class Terms, class Product>
void multiply_by_rows(Left<transposed> a, Range rows, const Right<b_transposed>& b, Range columns, const Terms& terms,
                      const Product& product) {
  const int64_t padded = (columns.end - columns.begin + kWidth - 1) / kWidth * kWidth;
  float* memory = buffer<0>(b.rows * padded);
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

// With at most this many terms, memory limits the speed of a product. It then goes through memory row by row.
constexpr int64_t kFewTerms = 8;

// Computes the same product, but multiplies all rows with one panel before it copies the next.
template <int block, int most, bool transposed, bool b_transposed, class Terms, class Product>
void multiply(Left<transposed> a, Range rows, const Right<b_transposed>& b, Range columns, const Terms& terms,
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

}  // namespace
}  // namespace aae
