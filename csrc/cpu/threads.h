// A pool of threads that run the parts of one loop at a time.
#pragma once

#include <cstdint>
#include <functional>

namespace aae {

// Runs part(0), ..., part(parts - 1) and returns when all are done. Part i always runs on the same thread, so what
// it left in that core's cache is there at the next call. Calls from inside a part, and calls made while another
// thread's loop runs, run alone. `part` must not throw.
void parallel_for(int64_t parts, const std::function<void(int64_t)>& part);

// How many threads a loop may take, its caller included. The default is the cores this process may use.
int threads();
void set_threads(int count);

}  // namespace aae
