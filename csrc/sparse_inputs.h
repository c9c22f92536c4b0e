// The nonzero inputs of a layer. Four fifths of MNIST's pixels are 0, and half or more of a ReLU's outputs.
//
// A term that is 0 does not change a sum, so a layer gives the same bits whether it skips such terms or not.
#pragma once

#include <cstdint>
#include <vector>

namespace aae {

// The inputs x [rows, columns] of a layer and, for each block of rows, a list of the columns with a nonzero element.
struct SparseInputs {
  // Replaces the inputs. With `codes` [rows, width], a block consists of rows whose codes lie in similar directions.
  // Only the first two numbers of a code count.
  void find_columns(const float* x, int64_t rows, int64_t columns, int64_t block, const float* codes, int64_t width);

  // Whether skipping the other columns saves more time than the lists cost.
  bool few_columns_used() const;

  const float* x = nullptr;
  int64_t rows = 0, columns = 0, block = 1;
  std::vector<int32_t> row_order, columns_used, columns_count;  // [rows], [blocks of rows, columns], [blocks of rows]
};

}  // namespace aae
