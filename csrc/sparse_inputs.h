// Where the inputs of a layer are not 0. Four fifths of MNIST's pixels are 0, and half or more of what a ReLU gives.
//
// A term that is 0 does not change a sum, so a layer gives the same bits whether it leaves such terms out or not.
#pragma once

#include <cstdint>
#include <vector>

namespace aae {

// The inputs x [rows, columns] of a layer, and lists of what is used of them, which a block of rows or columns shares.
struct SparseInputs {
  // Takes other inputs, and for each block of their rows finds the columns used. With `codes`, [rows, width], the
  // blocks are of rows whose codes lie in similar directions; only the first two numbers of a code count.
  void find_columns(const float* x, int64_t rows, int64_t columns, int64_t block, const float* codes, int64_t width);

  // For each block of columns the rows used, among the last n rows of x, which x is from then on.
  void find_rows(int64_t n);

  // Whether leaving the other columns out saves enough to pay for the lists.
  bool few_columns_used() const;

  const float* x = nullptr;
  int64_t rows = 0, columns = 0, block = 1;
  std::vector<int32_t> row_order, columns_used, columns_count;  // [rows], [blocks of rows, columns], [blocks of rows]
  std::vector<int32_t> rows_used, rows_count;                   // [blocks of columns, rows], [blocks of columns]
};

}  // namespace aae
