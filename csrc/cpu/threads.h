// A pool of threads that run the parts of one loop at a time.
#pragma once

#include <cstdint>
#include <functional>

namespace aae {

// Runs part(0), ..., part(parts - 1) and returns when all are done. The first parts, one a thread, always run on the
// same threads, so what they left in those cores' caches is there at the next call; the others run on whichever thread
// is free, because one core may be slower than another. Calls from inside a part, and calls made while another thread's
// loop runs, run alone. `part` must not throw.
void parallel_for(int64_t parts, const std::function<void(int64_t)>& part);

// How many threads a loop may take, its caller included. The default is OMP_NUM_THREADS, as it is when this is asked
// first, or one for each core that this process may use (cores.h).
int threads();
void set_threads(int count);

}  // namespace aae
