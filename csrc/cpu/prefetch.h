// Cache lines fetched before they are needed.
#pragma once

#include <cstdint>

namespace aae {

// Fetches the cache line of p[i] to be written. There need not be such an element: no pointer to it is formed.
inline __attribute__((always_inline)) void will_write(const float* p, int64_t i) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + i * sizeof(float)), 1);
}

}  // namespace aae
