// How many cores this process may use.
#pragma once

#include <string>

namespace aae {

// The least of the affinity mask and the quotas of the control groups, rounded up; at least 1.
int available_cores();

// The least CPU quota, in cores, rounded up, of the control groups that `groups`, the text of /proc/self/cgroup, names
// and of those they are in; 0 if there is none. `root` is where the groups are mounted, /sys/fs/cgroup.
int quota_in_cores(const std::string& root, const std::string& groups);

}  // namespace aae
