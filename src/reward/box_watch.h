// The limits that the kernel does not keep for a whole process tree: CPU time and the
// number of files; memory where there is no control group (box_cgroup.h) to keep it;
// and, where no namespace or user is a box's own, its processes.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace pupil {

struct TreeUsage {
  int64_t memory_bytes = 0;  // private and shared memory, not mapped files
  double cpu_s = 0;          // of live processes and of those they waited for
  int tasks = 0;             // threads of all processes
};

inline constexpr uint64_t kBoxTmpBytes = 64 << 20;  // of a /tmp of its own
inline constexpr int64_t kMaxBoxFiles = 16384;

struct TreeLimits {
  int64_t memory_bytes;
  double cpu_s;
  int tasks;
};

inline constexpr const char* kOverMemory = "memory";
inline constexpr const char* kOverCpu = "cpu";
inline constexpr const char* kOverTasks = "processes";
inline constexpr const char* kOverFiles = "files";

/// Watches one box. `by_session`: its processes are those of the session, wherever they
/// hang in the tree; otherwise they are the descendants.
class BoxWatch {
 public:
  BoxWatch(TreeLimits limits, bool by_session);

  /// Measures; returns which limit is exceeded, or "".
  std::string check(pid_t root);
  /// Waits, at most 2 s, until the box is empty: until its namespace's first process is
  /// gone, or all of its session are. `root` is dead and reaped.
  void wait_until_empty(pid_t root);
  const TreeUsage& last() const { return last_; }

 private:
  void find_first_process(pid_t root);

  TreeLimits limits_;
  bool by_session_;
  std::string scratch_;  // the box's /tmp, as seen from here
  TreeUsage last_;
  UniqueFd inner_;  // pidfd of the root's first child
};

/// Threads of all processes of this process's user; 0 where that is not to be had.
int num_user_tasks();

/// What the processes below `root` (itself included) use now.
TreeUsage measure_tree(pid_t root, bool by_session);

}  // namespace pupil
