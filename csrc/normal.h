// Turns two random words into two normals (Box & Muller, 1958), with the same bits on every machine.
//
// This file uses only operations that IEEE 754 rounds correctly: add, subtract, multiply, divide, fma, sqrt and
// conversions. Every product that is added to something is part of an explicit fma, so a compiler finds nothing to
// contract. The polynomials are minimax fits made for this file. Their coefficients were rounded to float32 one by one,
// lowest degree first, and the remaining ones were fitted again each time.
//
// Largest errors against float64, measured over every float in [2^-33, 1) and all 2^32 phases:
//
//   log32          0.96 ulp
//   its radius     0.98 ulp      sqrt(-2 log u), against float64 from the same u
//   cos_sin_turn   6.9e-8 (cosine) and 6.0e-8 (sine), 1.15 and 1.34 ulp
//
// The largest radius is 6.76, at u = 2^-33.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstring>

#include "philox.h"

#if defined(__FAST_MATH__)
#error "fast-math changes the bits that normal.h promises"
#endif
#if !defined(__CUDA_ARCH__) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "normal.h needs float arithmetic without excess precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

namespace aae {

struct Pair {
  float first, second;
};

AAE_HD float fma32(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

// Adds two products. No compiler may contract this addition.
AAE_HD float add32(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

AAE_HD float div32(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

AAE_HD float sqrt32(float a) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(a);
#else
  return __builtin_sqrtf(a);
#endif
}

AAE_HD int32_t bits_of(float a) {
  int32_t bits;
  memcpy(&bits, &a, sizeof bits);
  return bits;
}

AAE_HD float float_of(int32_t bits) {
  float a;
  memcpy(&a, &bits, sizeof a);
  return a;
}

// A uniform number in (0, 1] from a word: at least 2^-33, and 1 for the 128 largest words.
AAE_HD float uniform(uint32_t x) { return fma32(static_cast<float>(x), 0x1p-32f, 0x1p-33f); }

// Natural logarithm of a positive normal float.
AAE_HD float log32(float u) {
  // u = m * 2^e with m in [2/3, 4/3). Near u = 1, e is therefore 0 and nothing cancels.
  const int32_t shifted = (bits_of(u) - bits_of(0x1.555556p-1f)) & ~0x7fffff;
  const float f = float_of(bits_of(u) - shifted) - 1.0f;
  float p = -0x1.178644p-3f;
  p = fma32(p, f, 0x1.1cb600p-3f);
  p = fma32(p, f, -0x1.eb3feap-4f);
  p = fma32(p, f, 0x1.1f494cp-3f);
  p = fma32(p, f, -0x1.55eecep-3f);
  p = fma32(p, f, 0x1.99c676p-3f);
  p = fma32(p, f, -0x1.fffcdcp-3f);
  p = fma32(p, f, 0x1.555528p-2f);
  p = fma32(p, f, -0.5f);
  p = fma32(f * f, p, f);
  return fma32(static_cast<float>(shifted), 0x1.62e430p-24f, p);  // e ln 2
}

// Negates a float if `sign` is the highest bit, and keeps it if `sign` is 0. A minus sign would be wrong for zeros:
// compilers move it into an fma, and the resulting zero then has the other sign.
AAE_HD float with_sign(float a, uint32_t sign) { return float_of(bits_of(a) ^ static_cast<int32_t>(sign)); }

// Cosine and sine of an angle, without their common sign. The caller may apply that sign to a common factor instead.
struct Direction {
  float cos, sin;
  uint32_t sign;
};

// The direction at the angle 2 pi x / 2^32. The two highest bits of x + 2^29 are the quadrant. They are shifted out of
// the integer, so the reduction is exact.
AAE_HD Direction direction(uint32_t x) {
  const float t = static_cast<float>(static_cast<int32_t>(x << 2)) * 0x1p-32f;  // [-1/2, 1/2] of a quadrant
  const float z = t * t;

  float s = -0x1.2da156p-8f;
  s = fma32(s, z, 0x1.465eeap-4f);
  s = fma32(s, z, -0x1.4abbbap-1f);
  s = fma32(s, z, -0x1.a32c1cp-25f);  // includes the part of pi/2 that float32 cannot hold
  s = fma32(t, 0x1.921fb6p+0f, t * s);

  float c = 0x1.d4f7eep-11f;
  c = fma32(c, z, -0x1.55b2b6p-6f);
  c = fma32(c, z, 0x1.03c1b0p-2f);
  c = fma32(c, z, -0x1.3bd3ccp+0f);
  c = fma32(c, z, 1.0f);

  constexpr uint32_t kSign = 0x80000000u;
  const uint32_t turned = x + (1u << 29);
  const bool odd_quadrant = turned & 0x40000000u;
  return {odd_quadrant ? with_sign(s, kSign) : c, odd_quadrant ? c : s, turned & kSign};
}

// Cosine and sine of 2 pi x / 2^32.
AAE_HD Pair cos_sin_turn(uint32_t x) {
  const Direction to = direction(x);
  return {with_sign(to.cos, to.sign), with_sign(to.sin, to.sign)};
}

// The two halves of Box-Muller, for code that runs them in separate loops.
AAE_HD float squared_radius(uint32_t x) { return -2.0f * log32(uniform(x)); }

AAE_HD Pair on_circle(float squared_radius, uint32_t y, float std) {
  const Direction to = direction(y);
  const float radius = with_sign(sqrt32(squared_radius), to.sign);
  return {radius * to.cos * std, radius * to.sin * std};
}

// Two independent normals of standard deviation `std` from two words.
AAE_HD Pair box_muller(uint32_t x, uint32_t y, float std) { return on_circle(squared_radius(x), y, std); }

}  // namespace aae
