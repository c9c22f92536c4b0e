#include <algorithm>
#include <cstring>

#include "../kernels.h"
#include "../priors.h"
#include "isa.h"
#include "pair_words.h"
#include "threads.h"

namespace aae {
namespace {

// The number of blocks per tile. It is large enough to make the overhead of the loops negligible, and small enough to
// keep the intermediate results in the first-level cache.
constexpr uint64_t kTile = 512;

// A second thread pays off from kParallel elements on. Threads take kPart elements at a time.
constexpr uint64_t kParallel = 1 << 16;
constexpr uint64_t kPart = 1 << 15;

struct TileWords {
  alignas(64) uint32_t x[2 * kTile + kPairWordsSlack];
  alignas(64) uint32_t y[2 * kTile + kPairWordsSlack];
};

// --- words to samples -----------------------------------------------------------------------------

// Two loops, because out-of-order execution covers more iterations of a short loop than of a long one.
AAE_HD void scaled_pairs(const uint32_t* x, const uint32_t* y, float* out, uint64_t pairs, float std) {
  alignas(64) float squared_radii[2 * kTile];
  for (uint64_t i = 0; i < pairs; ++i) squared_radii[i] = squared_radius(x[i]);
  for (uint64_t i = 0; i < pairs; ++i) {
    const Pair z = on_circle(squared_radii[i], y[i], std);
    out[2 * i] = z.first;
    out[2 * i + 1] = z.second;
  }
}

AAE_HD void normal_pairs(const uint32_t* x, const uint32_t* y, float* out, uint64_t pairs, float std) {
  if (std == 1.0f) return scaled_pairs(x, y, out, pairs, 1.0f);  // compiled without the multiplications
  scaled_pairs(x, y, out, pairs, std);
}

AAE_HD void uniform_pairs(const uint32_t* x, const uint32_t* y, float* out, uint64_t pairs, float bound) {
  for (uint64_t i = 0; i < pairs; ++i) {
    out[2 * i] = symmetric_uniform(x[i], bound);
    out[2 * i + 1] = symmetric_uniform(y[i], bound);
  }
}

// Applies the function `row` of priors.h to each row's words and class.
template <Pair row(const Prior&, const Words&, int32_t)>
AAE_HD void each_row(const uint32_t* x, const uint32_t* y, const int64_t* classes, float* out, uint64_t rows,
                     const Prior prior) {
  for (uint64_t i = 0; i < rows; ++i) {
    const Pair position = row(prior, {x[2 * i], y[2 * i], 0, 0}, static_cast<int32_t>(classes[i]));
    out[2 * i] = position.first;
    out[2 * i + 1] = position.second;
  }
}

AAE_HD void prior_rows(const uint32_t* x, const uint32_t* y, const int64_t* classes, float* out, uint64_t rows,
                       const Prior& prior) {
  if (prior.kind == PriorKind::mixture) each_row<mixture_row>(x, y, classes, out, rows, prior);
  else each_row<swiss_roll_row>(x, y, classes, out, rows, prior);
}

AAE_HD void classes_of_words(const uint32_t* x, int64_t* out, uint64_t rows, int32_t classes) {
  for (uint64_t i = 0; i < rows; ++i) out[i] = class_of_word(x[2 * i], classes);
}

AAE_FOR_EACH_ISA(normal_pairs, (const uint32_t* x, const uint32_t* y, float* out, uint64_t pairs, float std),
                 (x, y, out, pairs, std))
AAE_FOR_EACH_ISA(uniform_pairs, (const uint32_t* x, const uint32_t* y, float* out, uint64_t pairs, float bound),
                 (x, y, out, pairs, bound))
AAE_FOR_EACH_ISA(prior_rows,
                 (const uint32_t* x, const uint32_t* y, const int64_t* classes, float* out, uint64_t rows,
                  const Prior& prior),
                 (x, y, classes, out, rows, prior))
AAE_FOR_EACH_ISA(classes_of_words, (const uint32_t* x, int64_t* out, uint64_t rows, int32_t classes),
                 (x, out, rows, classes))

// --- tiles ----------------------------------------------------------------------------------------

void element_tile(const Prior& prior, const Draw& draw, uint64_t first_block, uint64_t blocks, float* out) {
  TileWords words;
  pair_words(draw, first_block, blocks, words.x, words.y, out);
  if (prior.kind == PriorKind::normal) normal_pairs_on_isa(words.x, words.y, out, 2 * blocks, prior.std);
  else uniform_pairs_on_isa(words.x, words.y, out, 2 * blocks, prior.bound);
}

// Elements [first, first + count). Blocks that are needed only in part go through a buffer.
void elements(const Prior& prior, const Draw& draw, uint64_t first, uint64_t count, float* out) {
  while (count > 0) {
    const uint64_t skip = first % 4;
    uint64_t taken;
    if (skip == 0 && count >= 4) {
      taken = std::min(count / 4, kTile) * 4;
      element_tile(prior, draw, first / 4, taken / 4, out);
    } else {
      float block[4];
      taken = std::min(count, 4 - skip);
      element_tile(prior, draw, first / 4, 1, block);
      memcpy(out, block + skip, taken * sizeof(float));
    }
    first += taken;
    count -= taken;
    out += taken;
  }
}

// Rows [first, first + count). `labels` is [count], or null.
void rows(const Prior& prior, const Draw& draw, uint64_t first, uint64_t count, const int64_t* labels, float* out) {
  for (uint64_t i = 0; i < count; i += kTile) {
    const uint64_t n = std::min(count - i, kTile);
    int64_t drawn[kTile];
    if (labels == nullptr) draw_classes_cpu(prior, drawn, n, draw, first + i);
    const int64_t* classes = labels == nullptr ? drawn : labels + i;
    TileWords words;
    pair_words(draw, first + i, n, words.x, words.y);
    prior_rows_on_isa(words.x, words.y, classes, out + 2 * i, n, prior);
  }
}

}  // namespace

void draw_classes_cpu(const Prior& prior, int64_t* classes, int64_t n, const Draw& draw, int64_t offset) {
  TileWords words;
  for (int64_t i = 0; i < n; i += kTile) {
    const int64_t count = std::min<int64_t>(n - i, kTile);
    pair_words(class_draw(draw), static_cast<uint64_t>(offset + i), static_cast<uint64_t>(count), words.x, words.y);
    classes_of_words_on_isa(words.x, classes + i, static_cast<uint64_t>(count), prior.classes);
  }
}

void sample_prior_cpu(const Prior& prior, const int64_t* labels, float* out, int64_t n, const Draw& draw,
                      int64_t offset) {
  const uint64_t dim = static_cast<uint64_t>(prior.dim);
  const uint64_t first = static_cast<uint64_t>(offset) * dim, count = static_cast<uint64_t>(n) * dim;
  const bool elementwise = prior.kind == PriorKind::normal || prior.kind == PriorKind::uniform;
  auto range = [&](uint64_t begin, uint64_t size) {
    if (elementwise) elements(prior, draw, first + begin, size, out + begin);
    else rows(prior, draw, (first + begin) / 2, size / 2, labels ? labels + begin / 2 : nullptr, out + begin);
  };
  if (count < kParallel) return range(0, count);
  parallel_for(static_cast<int64_t>((count + kPart - 1) / kPart), [&](int64_t part) {
    const uint64_t begin = static_cast<uint64_t>(part) * kPart;
    range(begin, std::min(kPart, count - begin));
  });
}

}  // namespace aae
