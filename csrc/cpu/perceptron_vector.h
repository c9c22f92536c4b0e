// A SIMD vector of floats. AAE_VECTOR_WIDTH chooses the instruction set.
#pragma once

#include <cmath>
#include <cstring>

#include "../normal.h"

namespace aae {
namespace {

#if AAE_VECTOR_WIDTH == 16
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 warns about its own header
#endif
struct Vector {
  static constexpr int width = 16;
  __m512 v;
  static Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vector all(float x) { return {_mm512_set1_ps(x)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  Vector operator+(Vector b) const { return {_mm512_add_ps(v, b.v)}; }
  Vector operator-(Vector b) const { return {_mm512_sub_ps(v, b.v)}; }
  Vector operator/(Vector b) const { return {_mm512_div_ps(v, b.v)}; }
  Vector root() const { return {_mm512_sqrt_ps(v)}; }
  Vector times_plus(Vector b, Vector c) const { return {_mm512_fmadd_ps(v, b.v, c.v)}; }
  Vector times_minus(Vector b, Vector c) const { return {_mm512_fmsub_ps(v, b.v, c.v)}; }
  Vector zero_if_negative() const { return {_mm512_max_ps(_mm512_setzero_ps(), v)}; }  // NaN stays
  Vector zero_unless_positive(Vector x) const {                                        // keeps v if x > 0 or x is NaN
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_NLE_UQ), v)};
  }
  // Interleaves the first halves of the vectors a and b, or the second: a[0], b[0], a[1], b[1], ...
  Vector interleaved(Vector b, bool second) const {
    const __m512i step = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return {_mm512_permutex2var_ps(v, second ? _mm512_add_epi32(step, _mm512_set1_epi32(8)) : step, b.v)};
  }
  uint32_t nonzero() const { return _mm512_cmpneq_ps_mask(v, _mm512_setzero_ps()); }
};
#elif AAE_VECTOR_WIDTH == 8
struct Vector {
  static constexpr int width = 8;
  __m256 v;
  static Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vector all(float x) { return {_mm256_set1_ps(x)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  Vector operator+(Vector b) const { return {_mm256_add_ps(v, b.v)}; }
  Vector operator-(Vector b) const { return {_mm256_sub_ps(v, b.v)}; }
  Vector operator/(Vector b) const { return {_mm256_div_ps(v, b.v)}; }
  Vector root() const { return {_mm256_sqrt_ps(v)}; }
  Vector times_plus(Vector b, Vector c) const { return {_mm256_fmadd_ps(v, b.v, c.v)}; }
  Vector times_minus(Vector b, Vector c) const { return {_mm256_fmsub_ps(v, b.v, c.v)}; }
  Vector zero_if_negative() const { return {_mm256_max_ps(_mm256_setzero_ps(), v)}; }
  Vector zero_unless_positive(Vector x) const {
    return {_mm256_and_ps(_mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_NLE_UQ), v)};
  }
  Vector interleaved(Vector b, bool second) const {
    const __m256 low = _mm256_unpacklo_ps(v, b.v), high = _mm256_unpackhi_ps(v, b.v);  // in each lane
    return {second ? _mm256_permute2f128_ps(low, high, 0x31) : _mm256_permute2f128_ps(low, high, 0x20)};
  }
  uint32_t nonzero() const { return _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)); }
};
#else
struct Vector {
  static constexpr int width = 4;
  float v[4];
  template <class Element>
  static Vector each(const Element& element) {
    return {{element(0), element(1), element(2), element(3)}};
  }
  static Vector load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static Vector all(float x) { return {{x, x, x, x}}; }
  void store(float* p) const { memcpy(p, v, sizeof v); }
  // clang-format off
  Vector operator+(Vector b) const { return each([&](int i) { return v[i] + b.v[i]; }); }
  Vector operator-(Vector b) const { return each([&](int i) { return v[i] - b.v[i]; }); }
  Vector operator/(Vector b) const { return each([&](int i) { return v[i] / b.v[i]; }); }
  Vector root() const { return each([&](int i) { return sqrt32(v[i]); }); }
  Vector times_plus(Vector b, Vector c) const { return each([&](int i) { return fma32(v[i], b.v[i], c.v[i]); }); }
  Vector times_minus(Vector b, Vector c) const { return each([&](int i) { return fma32(v[i], b.v[i], -c.v[i]); }); }
  Vector zero_if_negative() const { return each([&](int i) { return v[i] < 0.0f ? 0.0f : v[i]; }); }
  Vector zero_unless_positive(Vector x) const { return each([&](int i) { return x.v[i] <= 0.0f ? 0.0f : v[i]; }); }
  // clang-format on
  Vector interleaved(Vector b, bool second) const {
    const int from = second ? 2 : 0;
    return {{v[from], b.v[from], v[from + 1], b.v[from + 1]}};
  }
  uint32_t nonzero() const {  // one bit per element
    uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits |= uint32_t{v[i] != 0.0f} << i;
    return bits;
  }
};
#endif

constexpr int kWidth = Vector::width;

// Load and store the first `count` elements of a vector, or all if it has fewer. load sets the others to 0.
inline Vector load(const float* p, int64_t count) {
  if (count >= kWidth) return Vector::load(p);
#if AAE_VECTOR_WIDTH == 16
  return {_mm512_maskz_loadu_ps((1u << count) - 1, p)};
#else
  float elements[kWidth] = {};
  memcpy(elements, p, count * sizeof(float));
  return Vector::load(elements);
#endif
}

inline void store(Vector x, float* p, int64_t count) {
  if (count >= kWidth) return x.store(p);
#if AAE_VECTOR_WIDTH == 16
  _mm512_mask_storeu_ps(p, (1u << count) - 1, x.v);
#else
  float elements[kWidth];
  x.store(elements);
  memcpy(p, elements, count * sizeof(float));
#endif
}

// Transposes a square by log2(width) perfect shuffles of its rows.
inline void transpose(Vector (&square)[kWidth]) {
  for (int times = kWidth; times > 1; times /= 2) {
    Vector next[kWidth];
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) next[i] = square[i / 2].interleaved(square[i / 2 + kWidth / 2], i % 2);
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) square[i] = next[i];
  }
}

}  // namespace
}  // namespace aae
