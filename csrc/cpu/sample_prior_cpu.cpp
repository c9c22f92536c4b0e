#include <algorithm>
#include <cstring>

#include "../kernels.h"
#include "../normal.h"
#include "isa.h"

namespace aae {
namespace {

// Blocks at a time: enough to fill any vector, and their 4 KiB of samples stay in the first-level cache.
constexpr uint64_t kTile = 256;

AAE_HD void normal_blocks(float* out, const Draw& draw, uint64_t first_block, uint64_t blocks, float std) {
  for (uint64_t i = 0; i < blocks; ++i) {
    const Words w = philox4x32(draw, first_block + i);
    const Four four = normal_four(w, std);
    for (int lane = 0; lane < 4; ++lane) out[4 * i + lane] = four.x[lane];
  }
}

// Elements [first, first + count). They need not begin or end with a block, so blocks go through a buffer.
AAE_HD void normal_elements(float* out, uint64_t first, uint64_t count, Draw draw, float std) {
  float tile[4 * kTile];
  while (count > 0) {
    const uint64_t skip = first % 4;
    const uint64_t taken = std::min<uint64_t>(count, 4 * kTile - skip);
    normal_blocks(tile, draw, first / 4, (skip + taken + 3) / 4, std);
    memcpy(out, tile + skip, taken * sizeof(float));
    out += taken;
    first += taken;
    count -= taken;
  }
}

AAE_FOR_EACH_ISA(normal_elements, (float* out, uint64_t first, uint64_t count, Draw draw, float std),
                 (out, first, count, draw, std))

}  // namespace

void sample_prior_cpu(const Prior& prior, float* out, int64_t n, const Draw& draw, int64_t offset) {
  const uint64_t dim = static_cast<uint64_t>(prior.dim);
  switch (prior.kind) {
    case PriorKind::normal:
      return normal_elements_on_isa(out, static_cast<uint64_t>(offset) * dim, static_cast<uint64_t>(n) * dim,
                                    draw, prior.std);
    case PriorKind::uniform:
    case PriorKind::mixture:
    case PriorKind::swiss_roll:
      for (uint64_t i = 0, first = static_cast<uint64_t>(offset) * dim; i < static_cast<uint64_t>(n) * dim; ++i)
        out[i] = prior_four(prior, draw, (first + i) / 4, {nullptr, 0, 0}).x[(first + i) % 4];
  }
}

}  // namespace aae
