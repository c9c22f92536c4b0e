#include "../kernels.h"

namespace aae {

void philox4x32_cpu(const int64_t* counter, const int64_t* key, int64_t* words, int64_t n) {
  for (int64_t i = 0; i < 4 * n; i += 4) {
    const Words w = philox4x32({static_cast<uint32_t>(counter[i]), static_cast<uint32_t>(counter[i + 1]),
                                static_cast<uint32_t>(counter[i + 2]), static_cast<uint32_t>(counter[i + 3])},
                               static_cast<uint32_t>(key[0]), static_cast<uint32_t>(key[1]));
    words[i] = w.x0;
    words[i + 1] = w.x1;
    words[i + 2] = w.x2;
    words[i + 3] = w.x3;
  }
}

}  // namespace aae
