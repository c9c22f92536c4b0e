// Random words by the vector, in the order in which Box-Muller wants them.
#pragma once

#include <cstdint>

#include "../philox.h"

namespace aae {

constexpr uint64_t kPairWordsSlack = 64;  // words that may be written after the last

// The words of `blocks` blocks: x[2 i], y[2 i] are x0, x1 of block first_block + i, and x[2 i + 1], y[2 i + 1]
// its x2, x3. `x` and `y` have room for 2 * blocks + kPairWordsSlack words. The memory at `samples`, unless null, is
// fetched meanwhile, 16 bytes a block: the samples made of the words will be written there, in a shorter time than
// their lines take to come.
void pair_words(const Draw& draw, uint64_t first_block, uint64_t blocks, uint32_t* x, uint32_t* y,
                const float* samples = nullptr);

}  // namespace aae
