#include "threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <unistd.h>
#endif

namespace aae {
namespace {

int usable_cores() {
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int64_t process() {
#if defined(_WIN32)
  return 0;
#else
  return getpid();
#endif
}

std::atomic<int>& limit() {
  static std::atomic<int> n{usable_cores()};
  return n;
}

class Pool {
 public:
  void run(int64_t parts, const std::function<void(int64_t)>& part) {
    if (process() != home_ || busy_.exchange(true, std::memory_order_acquire)) {
      for (int64_t i = 0; i < parts; ++i) part(i);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      helpers_ = static_cast<int>(std::min<int64_t>(threads(), parts)) - 1;
      start(helpers_);
      part_ = &part;
      parts_ = parts;
      next_ = 0;
    }
    wake_.notify_all();
    take(part);
    {
      std::unique_lock<std::mutex> lock(mutex_);
      part_ = nullptr;  // whoever wakes from now on comes too late
      done_.wait(lock, [this] { return active_ == 0; });
    }
    busy_.store(false, std::memory_order_release);
  }

 private:
  void start(int wanted) {
    try {
      for (; started_ < wanted; ++started_) std::thread([this] { help(); }).detach();
    } catch (const std::system_error&) {  // the caller does what no helper does
    }
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return part_ != nullptr && active_ < helpers_ && next_ < parts_; });
      ++active_;
      const std::function<void(int64_t)>& part = *part_;
      lock.unlock();
      take(part);
      lock.lock();
      if (--active_ == 0) done_.notify_one();
    }
  }

  void take(const std::function<void(int64_t)>& part) {
    for (int64_t i; (i = next_.fetch_add(1)) < parts_;) part(i);
  }

  const int64_t home_ = process();
  std::atomic<bool> busy_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t)>* part_ = nullptr;
  int64_t parts_ = 0;
  std::atomic<int64_t> next_{0};
  int helpers_ = 0, active_ = 0, started_ = 0;
};

Pool& pool() {
  static Pool* const pool = new Pool;  // never destroyed: its threads outlive main
  return *pool;
}

}  // namespace

int threads() { return limit().load(std::memory_order_relaxed); }

void set_threads(int n) { limit().store(n, std::memory_order_relaxed); }

void parallel_for(int64_t parts, const std::function<void(int64_t)>& run) {
  if (parts > 1 && threads() > 1) return pool().run(parts, run);
  for (int64_t i = 0; i < parts; ++i) run(i);
}

}  // namespace aae
