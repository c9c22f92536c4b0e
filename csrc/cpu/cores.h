// The number of cores that this process may use.
#pragma once

#include <string>

namespace aae {

// The minimum of the affinity mask's cores and the control groups' quotas, rounded up; at least 1.
int available_cores();

// The minimum CPU quota of the process's control groups and their parents, in cores, rounded up; 0 if there is none.
// `groups` is the text of /proc/self/cgroup, which names the groups. `root` is their mount point, /sys/fs/cgroup.
int quota_in_cores(const std::string& root, const std::string& groups);

}  // namespace aae
