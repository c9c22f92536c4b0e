#include "../kernels.h"
#include "../minibatch.h"
#include "isa.h"

namespace aae {
namespace {

AAE_HD void draw_rows(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                      int64_t n, Draw draw, int64_t offset) {
  for (int64_t i = 0; i < n; ++i) {
    indices[i] = image_of_row(draw, static_cast<uint64_t>(offset) + static_cast<uint64_t>(i), n_images);
    const uint8_t* image = images + indices[i] * pixels;
    float* to = out + i * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = unit_pixel(image[p]);
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
