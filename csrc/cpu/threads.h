// One pool of threads for the whole process.
#pragma once

#include <cstdint>
#include <functional>

namespace aae {

// How many threads share one call of parallel_for, the caller included; at first the cores that this process
// may use.
int threads();
void set_threads(int n);  // n >= 1

// Runs run(0), ..., run(parts - 1), in any order and on any thread, and returns when all are done. They must
// not throw. Everything runs on the caller where the pool serves another caller already, where no thread can
// be started, and in the child of a fork.
void parallel_for(int64_t parts, const std::function<void(int64_t)>& run);

}  // namespace aae
