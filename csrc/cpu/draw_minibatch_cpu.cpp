#include "../kernels.h"
#include "isa.h"

namespace aae {
namespace {

// floor(x * n / 2^64) for n < 2^32, without 128-bit integers.
AAE_HD uint64_t scale(uint64_t x, uint64_t n) {
  return ((x >> 32) * n + ((x & 0xffffffffu) * n >> 32)) >> 32;
}

AAE_HD void draw_rows(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                      int64_t n, Draw draw, int64_t offset) {
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t row = static_cast<uint64_t>(offset) + static_cast<uint64_t>(i);
    const Words w = philox4x32(draw, row / 2);
    const uint64_t x = row % 2 ? uint64_t{w.x3} << 32 | w.x2 : uint64_t{w.x1} << 32 | w.x0;
    indices[i] = static_cast<int64_t>(scale(x, static_cast<uint64_t>(n_images)));

    const uint8_t* image = images + indices[i] * pixels;
    float* to = out + i * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = static_cast<float>(image[p]) / 255.0f;
  }
}

AAE_FOR_EACH_ISA(draw_rows,
                 (const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                  int64_t n, Draw draw, int64_t offset),
                 (images, n_images, pixels, out, indices, n, draw, offset))

}  // namespace

void draw_minibatch_cpu(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                        int64_t n, const Draw& draw, int64_t offset) {
  draw_rows_on_isa(images, n_images, pixels, out, indices, n, draw, offset);
}

}  // namespace aae
