#include "cores.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace aae {
namespace {

// Microseconds of CPU time per period. A group without a quota has "max" or -1 there; neither reads as positive.
struct Quota {
  int64_t time = 0, period = 0;
};

Quota quota_of_v2(const std::string& group) {
  Quota quota;
  std::ifstream(group + "/cpu.max") >> quota.time >> quota.period;
  return quota;
}

Quota quota_of_v1(const std::string& group) {
  Quota quota;
  std::ifstream(group + "/cpu.cfs_quota_us") >> quota.time;
  std::ifstream(group + "/cpu.cfs_period_us") >> quota.period;
  return quota;
}

}  // namespace

int quota_in_cores(const std::string& root, const std::string& groups) {
  int64_t least = 0;
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // hierarchy:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v1 = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (!v1 && !controllers.empty()) continue;
    // A container may not see the group that the path names. It then sees its own group as the root.
    for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
      const Quota quota = v1 ? quota_of_v1(root + "/cpu" + path) : quota_of_v2(root + path);
      if (quota.time > 0 && quota.period > 0) {
        const int64_t cores = quota.time / quota.period + (quota.time % quota.period != 0);
        least = least == 0 ? cores : std::min(least, cores);
      }
      if (path.find('/') == std::string::npos) break;
    }
  }
  return static_cast<int>(std::min<int64_t>(least, INT32_MAX));
}

int available_cores() {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) cores = std::max(1, CPU_COUNT(&mask));
  std::ifstream file("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(file), {}};
  if (const int quota = quota_in_cores("/sys/fs/cgroup", groups); quota > 0) cores = std::min(cores, quota);
#endif
  return cores;
}

}  // namespace aae
