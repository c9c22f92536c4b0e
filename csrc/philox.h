// The counter-based generator behind every random number, and the contract that assigns counters to uses.
//
// A draw is a pure function of (seed, stream, step, index). It is therefore the same for any number of threads, any
// vector width and any split of a batch, and after a resume.
//
//   key      k0 = seed low 32        k1 = seed high 32                                0 <= seed   < 2^63
//   counter  c0 = index low 32       c1 = index high 32                               0 <= index  < 2^64
//            c2 = step low 32        c3 = (step >> 32) | (stream << 16)               0 <= step   < 2^48
//                                                                                     0 <= stream < 2^16
//
// Callers use streams below 2^15. Stream s + 2^15 draws the classes of the rows of stream s (priors.h), so draws for
// different purposes never share a counter.
//
// `index` counts blocks of four 32-bit words within one (seed, stream, step). priors.h and minibatch.h define how the
// ops use a block. These bits are frozen: trained results depend on them.
//
// Philox4x32-10: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
#pragma once

#include <cstdint>

// Marks functions of one thread or vector lane, which the CPU and CUDA compilers share. Inlining is forced, because a
// function that is not inlined would not be compiled for the instruction set of the loop that calls it.
#if defined(__CUDACC__)
#define AAE_HD __host__ __device__ __forceinline__
#else
#define AAE_HD inline __attribute__((always_inline))
#endif

namespace aae {

struct Words {
  uint32_t x0, x1, x2, x3;
};

// Selects a sequence of a run's random numbers: everything in the counter and key except the index.
struct Draw {
  uint64_t seed;
  uint64_t step;
  uint32_t stream;
};

constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53, kPhiloxMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kPhiloxKeyIncrement0 = 0x9E3779B9;  // the golden ratio
constexpr uint32_t kPhiloxKeyIncrement1 = 0xBB67AE85;  // sqrt(3) - 1

AAE_HD Words philox4x32(Words c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxMultiplier0} * c.x0;
    const uint64_t p1 = uint64_t{kPhiloxMultiplier1} * c.x2;
    c = {static_cast<uint32_t>(p1 >> 32) ^ c.x1 ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c.x3 ^ k1, static_cast<uint32_t>(p0)};
    k0 += kPhiloxKeyIncrement0;
    k1 += kPhiloxKeyIncrement1;
  }
  return c;
}

AAE_HD Words philox4x32(const Draw& draw, uint64_t index) {
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), static_cast<uint32_t>(draw.step),
                     static_cast<uint32_t>(draw.step >> 32) | (draw.stream << 16)},
                    static_cast<uint32_t>(draw.seed), static_cast<uint32_t>(draw.seed >> 32));
}

}  // namespace aae
