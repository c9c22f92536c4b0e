// How draw_minibatch chooses images and scales pixels. The CPU loops and the CUDA threads share these functions.
#pragma once

#include <cstdint>

#include "normal.h"
#include "philox.h"

namespace aae {

// Row r, counted from the first row of the step, reads words 2 * (r % 2) (low half) and 2 * (r % 2) + 1 (high half) of
// block r / 2 as a 64-bit number X, and draws image floor(X * n_images / 2^64).
AAE_HD int64_t image_of_row(const Draw& draw, uint64_t row, int64_t n_images) {
  const Words w = philox4x32(draw, row / 2);
  const uint64_t low = row % 2 ? w.x2 : w.x0;
  const uint64_t high = row % 2 ? w.x3 : w.x1;
  // n_images < 2^32, so this needs no 128-bit integers.
  const uint64_t n = static_cast<uint64_t>(n_images);
  return static_cast<int64_t>((high * n + (low * n >> 32)) >> 32);
}

// value / 255, correctly rounded, without a division and without an fma (a function call in a portable build). The
// first product is exact, so the sum is a single rounding of the quotient, up to a relative error of 2^-40.
AAE_HD float unit_pixel(uint8_t value) {
  const float v = static_cast<float>(value);
  return add32(v * 0x1.01p-8f, v * 0x1.010102p-24f);  // 0x1.01p-8 + 0x1.010102p-24 = 1 / 255
}

}  // namespace aae
