// The raw generator as an endless stream of 32-bit words, for batteries of tests that read standard input:
//
//   g++ -std=c++17 -O3 tests/csrc/philox_words.cpp -o philox_words
//   ./philox_words | dieharder -a -g 200
//
// The words are those of stream 0, step 0, in the order of their index; the seed is the argument, or 0.
#include <cstdio>
#include <cstdlib>

#include "../../csrc/philox.h"

int main(int count, char** arguments) {
  const uint64_t seed = count > 1 ? strtoull(arguments[1], nullptr, 10) : 0;
  constexpr int kBlocks = 4096;
  static aae::Words words[kBlocks];
  for (uint64_t index = 0;; index += kBlocks) {
    for (int i = 0; i < kBlocks; ++i) words[i] = aae::philox4x32(aae::Draw{seed, 0, 0}, index + i);
    if (fwrite(words, sizeof words, 1, stdout) != 1) return 0;
  }
}
