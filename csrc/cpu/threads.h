// A thread pool that runs the parts of one loop at a time.
#pragma once

#include <cstdint>
#include <functional>

namespace aae {

// Runs part(0), ..., part(parts - 1) and returns when all are done. The first parts, one per thread, always run on the
// same threads, so the next call finds their data in those cores' caches. The other parts run on whichever thread is
// free, because one core may be slower than another. A call from inside a part, or while another thread's loop runs,
// runs all its parts on the calling thread. `part` must not throw. Throws std::runtime_error if the system refuses the
// number of threads that `set_threads` or OMP_NUM_THREADS asks for.
void parallel_for(int64_t parts, const std::function<void(int64_t)>& part);

constexpr int kMostThreads = 1024;

// The number of threads that a loop may use, including its caller. The default is OMP_NUM_THREADS as set at the first
// call, or else one thread per core that this process may use (cores.h). Throws std::invalid_argument if
// OMP_NUM_THREADS is not a number from 1 to kMostThreads.
int threads();

// Starts `count` threads, 1 to kMostThreads. If the system refuses, it throws std::runtime_error, and the number of
// threads stays as it was.
void set_threads(int count);

}  // namespace aae
