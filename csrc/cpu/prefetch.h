// Prefetching of cache lines.
#pragma once

#include <cstdint>

namespace aae {

// Prefetches the cache line of p[i] for writing. p[i] need not exist: no pointer to it is formed.
inline __attribute__((always_inline)) void will_write(const float* p, int64_t i) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + i * sizeof(float)), 1);
}

}  // namespace aae
