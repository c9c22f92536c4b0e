#include <algorithm>

#include "../kernels.h"
#include "../minibatch.h"
#include "isa.h"
#include "threads.h"

namespace aae {
namespace {

constexpr int64_t kAhead = 4;          // images
constexpr int64_t kAlone = 32 * 1024;  // drawing so many pixels takes as long as starting another thread

AAE_HD void draw_rows(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices, int64_t n,
                      Draw draw, int64_t offset) {
  for (int64_t i = 0; i < n; ++i)
    indices[i] = image_of_row(draw, static_cast<uint64_t>(offset) + static_cast<uint64_t>(i), n_images);
  for (int64_t i = 0; i < n; ++i) {
    // Prefetch, because the images are scattered over a dataset that no cache holds.
    const uint8_t* later = images + indices[std::min(i + kAhead, n - 1)] * pixels;
    for (int64_t p = 0; p < pixels; p += 64) __builtin_prefetch(later + p);
    const uint8_t* image = images + indices[i] * pixels;
    float* to = out + i * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = unit_pixel(image[p]);
  }
}

AAE_FOR_EACH_ISA(draw_rows,
                 (const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices, int64_t n,
                  Draw draw, int64_t offset),
                 (images, n_images, pixels, out, indices, n, draw, offset))

}  // namespace

void draw_minibatch_cpu(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                        int64_t n, const Draw& draw, int64_t offset) {
  const int64_t parts = n * pixels < kAlone ? 1 : std::min<int64_t>(threads(), n);
  parallel_for(parts, [&](int64_t part) {
    const int64_t first = n * part / parts, rows = n * (part + 1) / parts - first;
    draw_rows_on_isa(images, n_images, pixels, out + first * pixels, indices + first, rows, draw, offset + first);
  });
}

}  // namespace aae
