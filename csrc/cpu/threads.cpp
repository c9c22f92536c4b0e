#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cores.h"

namespace aae {
namespace {

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Long enough to bridge the gap between two kernels of a training step, short enough to free the core for others.
constexpr int kSpins = 10000;

// The first number of OMP_NUM_THREADS, which PyTorch and most other libraries also obey; 0 if it is not set. OpenMP
// allows a list such as 4,2, whose other numbers are for nested loops, and spaces.
int threads_of_environment() {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  std::istringstream list(text);
  int first = 0;
  char comma = ',';
  for (int number; comma == ',' && list >> number && number > 0; comma = '\0', list >> comma)
    if (first == 0) first = number;
  if (comma == '\0' && list.eof() && first <= kMostThreads) return first;
  throw std::invalid_argument("OMP_NUM_THREADS must be a number of threads from 1 to " + std::to_string(kMostThreads) +
                              ", got " + text);
}

thread_local bool inside_part = false;  // of a pool's loop; this thread may then hold `busy` and must not lock it again

class Pool {
 public:
  explicit Pool(int wanted) : wanted(wanted) {
    try {
      for (int id = 1; id < wanted; ++id) workers_.emplace_back([this, id] { work(id); });
    } catch (const std::exception&) {  // the system refuses more threads, or the memory for them
    }
    count_ = static_cast<int>(workers_.size()) + 1;
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      ++loop_;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const int wanted;

  int count() const { return count_; }

  void run(int64_t parts, const std::function<void(int64_t)>& part) {
    parts_ = parts;
    part_ = &part;
    running_.store(count_ - 1, std::memory_order_relaxed);
    next_.store(count_, std::memory_order_relaxed);
    bool sleepers;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++loop_;
      sleepers = sleeping_ > 0;
    }
    if (sleepers) wake_.notify_all();
    run_parts(0);
    for (int spins = 0; running_.load(std::memory_order_acquire) > 0; ++spins) {
      if (spins < kSpins) pause_core();
      else sched_yield();
    }
  }

 private:
  void run_parts(int id) {
    inside_part = true;
    for (int64_t i = id; i < parts_; i = next_.fetch_add(1, std::memory_order_relaxed)) (*part_)(i);
    inside_part = false;
  }

  void work(int id) {
    for (uint64_t seen = 0;;) {
      for (int spins = 0; spins < kSpins && loop_.load(std::memory_order_acquire) == seen; ++spins) pause_core();
      if (loop_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++sleeping_;
        wake_.wait(lock, [&] { return loop_.load(std::memory_order_relaxed) != seen; });
        --sleeping_;
      }
      ++seen;
      if (stopped_) return;
      run_parts(id);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  int count_ = 1;  // workers and caller
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> loop_{0};  // counts loops; written under the mutex
  int sleeping_ = 0;
  bool stopped_ = false;
  std::atomic<int> running_{0};
  std::atomic<int64_t> next_{0};  // the next free part; each thread's first part is fixed
  int64_t parts_ = 0;
  const std::function<void(int64_t)>* part_ = nullptr;
};

std::atomic<int> limit{0};          // of `set_threads`; 0: the default
std::atomic<int> environments{0};   // of OMP_NUM_THREADS or, negative, the number of cores; 0: not yet read
std::mutex* busy = new std::mutex;  // held while a loop runs
Pool* pool = nullptr;               // not destroyed at exit, because its threads may already be gone then

// A forked child has none of its parent's threads, so it forgets the pool and makes a new one.
void forget_pool() {
  pool = nullptr;
  busy = new std::mutex;
}
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, forget_pool);

// The default as `environments` holds it. It takes no lock, which a forked child could find locked forever.
int default_threads() {
  int count = environments.load();
  if (count == 0) {
    count = threads_of_environment();
    if (count == 0) count = -std::min(available_cores(), kMostThreads);
    environments.store(count);
  }
  return count;
}

// Makes the pool have `wanted` threads; whoever calls holds `busy`. If the user asked for a number that the system
// refuses, it throws. Otherwise, with one thread per core, fewer are right.
void prepare_pool(int wanted, const char* asked_by) {
  if (pool != nullptr && pool->wanted == wanted) return;
  delete pool;
  pool = nullptr;
  std::unique_ptr<Pool> made(new Pool(wanted));
  if (made->count() < wanted && asked_by != nullptr)
    throw std::runtime_error(std::string(asked_by) + ": the system refuses to start " + std::to_string(wanted) +
                             " threads; it started " + std::to_string(made->count()) +
                             ", so ask for fewer, or raise its limits of processes and memory");
  pool = made.release();
}

}  // namespace

int threads() {
  const int count = limit.load();
  return count > 0 ? count : std::abs(default_threads());
}

void set_threads(int count) {
  {
    std::lock_guard<std::mutex> lock(*busy);
    prepare_pool(count, "set_threads");
  }
  limit.store(count);
}

void parallel_for(int64_t parts, const std::function<void(int64_t)>& part) {
  const int count = threads();
  std::unique_lock<std::mutex> lock(*busy, std::defer_lock);
  if (parts < 2 || count < 2 || inside_part || !lock.try_lock()) {
    for (int64_t i = 0; i < parts; ++i) part(i);
    return;
  }
  prepare_pool(count, limit.load() > 0 ? "set_threads" : default_threads() > 0 ? "OMP_NUM_THREADS" : nullptr);
  pool->run(parts, part);
}

}  // namespace aae
