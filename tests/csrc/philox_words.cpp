// The raw generator as an endless stream of 32-bit words, for batteries of tests that read standard input:
//
//   g++ -std=c++17 -O3 tests/csrc/philox_words.cpp -o philox_words
//   ./philox_words | dieharder -a -g 200
//
// The words are those of seed 0, stream 0, step 0, in the order of their index.
#include <cstdio>

#include "../../csrc/philox.h"

int main() {
  constexpr int kBlocks = 4096;
  static aae::Words words[kBlocks];
  for (uint64_t index = 0;; index += kBlocks) {
    for (int i = 0; i < kBlocks; ++i) words[i] = aae::philox4x32(aae::Draw{0, 0, 0}, index + i);
    if (fwrite(words, sizeof words, 1, stdout) != 1) return 0;
  }
}
