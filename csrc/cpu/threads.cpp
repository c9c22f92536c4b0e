#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <system_error>
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

// OMP_NUM_THREADS, which PyTorch and most other libraries also obey, or else one thread per core that this process may
// use.
int default_threads() {
  const char* const wanted = std::getenv("OMP_NUM_THREADS");
  return wanted != nullptr && std::atoi(wanted) > 0 ? std::atoi(wanted) : available_cores();
}

thread_local bool inside_part = false;  // of a pool's loop; this thread may then hold `busy` and must not lock it again

class Pool {
 public:
  explicit Pool(int wanted) : wanted(wanted) {
    try {
      for (int id = 1; id < wanted; ++id) workers_.emplace_back([this, id] { work(id); });
    } catch (const std::system_error&) {  // the system refuses more threads
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

std::atomic<int> limit{0};          // 0: the default
std::mutex* busy = new std::mutex;  // held while a loop runs
Pool* pool = nullptr;               // not destroyed at exit, because its threads may already be gone then

// A forked child has none of its parent's threads, so it forgets the pool and makes a new one.
void forget_pool() {
  pool = nullptr;
  busy = new std::mutex;
}

}  // namespace

int threads() {
  static const int by_default = default_threads();
  const int count = limit.load();
  return count > 0 ? count : by_default;
}

void set_threads(int count) { limit.store(count); }

void parallel_for(int64_t parts, const std::function<void(int64_t)>& part) {
  const int count = threads();
  std::unique_lock<std::mutex> lock(*busy, std::defer_lock);
  if (parts < 2 || count < 2 || inside_part || !lock.try_lock()) {
    for (int64_t i = 0; i < parts; ++i) part(i);
    return;
  }
  if (pool == nullptr || pool->wanted != count) {
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    (void)registered;
    delete pool;
    pool = new Pool(count);
  }
  pool->run(parts, part);
}

}  // namespace aae
