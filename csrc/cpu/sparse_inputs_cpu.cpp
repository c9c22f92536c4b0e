#include "../sparse_inputs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "perceptron_share.h"

namespace aae {
namespace {

// Grows with the angle of (x, y), from -2 at -pi to 2 at pi.
float direction(float x, float y) {
  const float size = std::abs(x) + std::abs(y);
  if (!(size > 0.0f && size < INFINITY)) return 0.0f;
  return y < 0.0f ? x / size - 1.0f : 1.0f - x / size;
}

}  // namespace

void SparseInputs::find_columns(const float* new_x, int64_t new_rows, int64_t new_columns, int64_t new_block,
                                const float* codes, int64_t width) {
  x = new_x;
  rows = new_rows;
  columns = new_columns;
  block = new_block;
  row_order.resize(rows);
  std::iota(row_order.begin(), row_order.end(), 0);
  if (codes != nullptr) {
    std::vector<float> directions(rows);
    for (int64_t i = 0; i < rows; ++i) directions[i] = direction(codes[i * width], codes[i * width + 1]);
    std::sort(row_order.begin(), row_order.end(), [&](int32_t a, int32_t b) { return directions[a] < directions[b]; });
  }
  const int64_t blocks = (rows + block - 1) / block;
  columns_used.resize(blocks * columns);
  columns_count.resize(blocks);
  share(By::rows, rows, 1, [&](Range some, Range) {
    for (int64_t i = some.begin; i < some.end; i += block)
      columns_count[i / block] = perceptron_loops().columns_used(x, columns, &row_order[i], std::min(block, rows - i),
                                                                 &columns_used[i / block * columns]);
  });
}

bool SparseInputs::few_columns_used() const {
  const int64_t all = static_cast<int64_t>(columns_count.size()) * columns;
  return std::accumulate(columns_count.begin(), columns_count.end(), int64_t{0}) * 10 < all * 9;  // measured
}

}  // namespace aae
