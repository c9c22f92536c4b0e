// Distributes the loops of a perceptron to threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "perceptron_isa.h"
#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace aae {

// Numbers below the normal range count as 0 during the lifetime of this object. Adam's moments of pixels that are
// always empty decay to such numbers, hundreds of thousands of them, and each would cost tens of cycles.
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

// Part number `part` of `parts` parts of [0, size), cut at multiples of `unit`.
inline Range cut(int64_t size, int64_t unit, int64_t part, int64_t parts) {
  const int64_t units = (size + unit - 1) / unit;
  return {std::min(size, units * part / parts * unit), std::min(size, units * (part + 1) / parts * unit)};
}

// Runs loop(rows, columns) on part number `part` of `parts` parts of [0, rows) x [0, columns). The threads divide the
// rows or the columns, as `by` says. If there are too few, they divide the other of the two. `parts` is the same for
// all parts of a loop, although another Python thread may change threads() meanwhile.
template <class Loop>
void do_part(By by, int64_t rows, int64_t columns, int64_t part, int64_t parts, const Loop& loop) {
  constexpr int64_t kRows = 16;
  const int64_t width = perceptron_loops().width;
  const bool few_rows = rows < 2 * parts * kRows, few_columns = columns < 2 * parts * width;
  const bool by_rows = few_columns || (by == By::rows && !few_rows);
  const FlushDenormals flush;
  const Range r = by_rows ? cut(rows, kRows, part, parts) : Range{0, rows};
  const Range c = by_rows ? Range{0, columns} : cut(columns, width, part, parts);
  if (r.begin < r.end && c.begin < c.end) loop(r, c);
}

template <class Loop>
void share(By by, int64_t rows, int64_t columns, const Loop& loop) {
  const int64_t parts = threads();
  parallel_for(parts, [&](int64_t part) { do_part(by, rows, columns, part, parts, loop); });
}

}  // namespace aae
