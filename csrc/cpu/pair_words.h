// Vectors of random words, in the order that Box-Muller needs.
#pragma once

#include <cstdint>

#include "../philox.h"

namespace aae {

constexpr uint64_t kPairWordsSlack = 64;  // pair_words may write so many words past the last

// Draws the words of `blocks` blocks: x[2 i], y[2 i] are x0, x1 of block first_block + i, and x[2 i + 1], y[2 i + 1]
// are its x2, x3. `x` and `y` have room for 2 * blocks + kPairWordsSlack words. Unless `samples` is null, the function
// also prefetches the memory there, 16 bytes per block: the caller will write the samples made from the words there,
// and writing them takes less time than loading their cache lines.
void pair_words(const Draw& draw, uint64_t first_block, uint64_t blocks, uint32_t* x, uint32_t* y,
                const float* samples = nullptr);

}  // namespace aae
