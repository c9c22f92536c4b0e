// A 64-bit lane holds a word in its low half. Its high half holds a leftover of a multiplication. The multiplications
// read only the low halves, so nothing needs to be shuffled or masked between the rounds.
#include "pair_words.h"

#include <algorithm>

#include "isa.h"
#include "prefetch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC's own intrinsics cause this warning
#endif
#endif

namespace aae {
namespace {

void pair_words_portable(Draw draw, uint64_t first_block, uint64_t blocks, uint32_t* x, uint32_t* y) {
  for (uint64_t i = 0; i < blocks; ++i) {
    const Words w = philox4x32(draw, first_block + i);
    x[2 * i] = w.x0;
    y[2 * i] = w.x1;
    x[2 * i + 1] = w.x2;
    y[2 * i + 1] = w.x3;
  }
}

#if defined(__x86_64__)

struct RoundKeys {
  uint64_t k0[10], k1[10];
};

RoundKeys round_keys(uint64_t seed) {
  RoundKeys keys;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    keys.k0[round] = k0;
    keys.k1[round] = k1;
    k0 += kPhiloxKeyIncrement0;
    k1 += kPhiloxKeyIncrement1;
  }
  return keys;
}

// All blocks here have the same high half of the index. The compiler therefore finds that the first round's second
// product and the second round's first product are also the same for all blocks. Each iteration works on four vectors,
// which keeps both ports busy while each vector waits for its multiplication. The last round moves its words directly
// to their final lanes, where the other rounds move high halves down.
__attribute__((target("avx512f"))) void pair_words_avx512(Draw draw, uint64_t first_block, uint64_t blocks, uint32_t* x,
                                                          uint32_t* y, const float* samples) {
  const RoundKeys keys = round_keys(draw.seed);
  const __m512i m0 = _mm512_set1_epi64(kPhiloxMultiplier0), m1 = _mm512_set1_epi64(kPhiloxMultiplier1);
  const __m512i c1 = _mm512_set1_epi64(static_cast<int64_t>(first_block >> 32));
  const __m512i c2 = _mm512_set1_epi64(static_cast<int64_t>(draw.step));
  const __m512i c3 = _mm512_set1_epi64(static_cast<int64_t>(draw.step >> 32 | uint64_t{draw.stream} << 16));
  const __m512i last_keys = _mm512_set1_epi64(static_cast<int64_t>(keys.k0[9] | keys.k1[9] << 32));
  const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  const __mmask16 even = 0x5555, odd = 0xAAAA;
  __m512i index = _mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(first_block)), lanes);
  for (uint64_t i = 0; i < blocks; i += 32) {
    __m512i x0[4], x1[4], x2[4], x3[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      x0[v] = index, x1[v] = c1, x2[v] = c2, x3[v] = c3;
      index = _mm512_add_epi64(index, _mm512_set1_epi64(8));
    }
#pragma GCC unroll 9
    for (int round = 0; round < 9; ++round) {
      const __m512i k0 = _mm512_set1_epi64(keys.k0[round]), k1 = _mm512_set1_epi64(keys.k1[round]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m512i p0 = _mm512_mul_epu32(m0, x0[v]), p1 = _mm512_mul_epu32(m1, x2[v]);
        const __m512i high0 = _mm512_shuffle_epi32(p0, _MM_PERM_DDBB);
        const __m512i high1 = _mm512_shuffle_epi32(p1, _MM_PERM_DDBB);
        x0[v] = _mm512_ternarylogic_epi64(high1, x1[v], k0, 0x96);  // xor of all three
        x2[v] = _mm512_ternarylogic_epi64(high0, x3[v], k1, 0x96);
        x1[v] = p1;
        x3[v] = p0;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const uint64_t block = i + 8 * v;
      if (samples != nullptr) will_write(samples, 4 * block), will_write(samples, 4 * block + 16);
      const __m512i p0 = _mm512_mul_epu32(m0, x0[v]), p1 = _mm512_mul_epu32(m1, x2[v]);
      const __m512i high = _mm512_mask_shuffle_epi32(p0, even, p1, _MM_PERM_DDBB);
      const __m512i x1_x3 = _mm512_mask_shuffle_epi32(x1[v], odd, x3[v], _MM_PERM_CCAA);
      _mm512_storeu_si512(x + 2 * block, _mm512_ternarylogic_epi64(high, x1_x3, last_keys, 0x96));
      _mm512_storeu_si512(y + 2 * block, _mm512_mask_shuffle_epi32(p1, odd, p0, _MM_PERM_CCAA));
    }
  }
}

__attribute__((target("avx2"))) void pair_words_avx2(Draw draw, uint64_t first_block, uint64_t blocks, uint32_t* x,
                                                     uint32_t* y, const float* samples) {
  const RoundKeys keys = round_keys(draw.seed);
  const __m256i m0 = _mm256_set1_epi64x(kPhiloxMultiplier0), m1 = _mm256_set1_epi64x(kPhiloxMultiplier1);
  const __m256i c1 = _mm256_set1_epi64x(static_cast<int64_t>(first_block >> 32));
  const __m256i c2 = _mm256_set1_epi64x(static_cast<int64_t>(draw.step));
  const __m256i c3 = _mm256_set1_epi64x(static_cast<int64_t>(draw.step >> 32 | uint64_t{draw.stream} << 16));
  const __m256i lanes = _mm256_setr_epi64x(0, 1, 2, 3);
  __m256i index = _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(first_block)), lanes);
  for (uint64_t i = 0; i < blocks; i += 4) {
    if (samples != nullptr) will_write(samples, 4 * i);
    __m256i x0 = index, x1 = c1, x2 = c2, x3 = c3;
    index = _mm256_add_epi64(index, _mm256_set1_epi64x(4));
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const __m256i k0 = _mm256_set1_epi64x(keys.k0[round]), k1 = _mm256_set1_epi64x(keys.k1[round]);
      const __m256i p0 = _mm256_mul_epu32(m0, x0), p1 = _mm256_mul_epu32(m1, x2);
      const __m256i high0 = _mm256_shuffle_epi32(p0, 0xF5), high1 = _mm256_shuffle_epi32(p1, 0xF5);
      x0 = _mm256_xor_si256(high1, _mm256_xor_si256(x1, k0));
      x2 = _mm256_xor_si256(high0, _mm256_xor_si256(x3, k1));
      x1 = p1;
      x3 = p0;
    }
    const __m256i x02 = _mm256_blend_epi32(x0, _mm256_slli_epi64(x2, 32), 0xAA);
    const __m256i x13 = _mm256_blend_epi32(x1, _mm256_slli_epi64(x3, 32), 0xAA);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x + 2 * i), x02);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + 2 * i), x13);
  }
}

#endif

}  // namespace

void pair_words(const Draw& draw, uint64_t first_block, uint64_t blocks, uint32_t* x, uint32_t* y,
                const float* samples) {
#if defined(__x86_64__)
  const Isa isa = current_isa();
  if (isa != Isa::portable) {
    while (blocks > 0) {
      const uint64_t run = std::min(blocks, (uint64_t{1} << 32) - (first_block & 0xffffffffu));
      (isa == Isa::avx512 ? pair_words_avx512 : pair_words_avx2)(draw, first_block, run, x, y, samples);
      first_block += run;
      blocks -= run;
      x += 2 * run;
      y += 2 * run;
      if (samples != nullptr) samples += 4 * run;
    }
    return;
  }
#endif
  pair_words_portable(draw, first_block, blocks, x, y);
}

}  // namespace aae
