// The limits that the kernel does not keep for a whole process tree: memory and CPU
// time summed over it, and, where no namespace or user is a box's own, its processes.

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

struct TreeLimits {
  int64_t memory_bytes;
  double cpu_s;
  int tasks;
};

inline constexpr const char* kOverMemory = "memory";
inline constexpr const char* kOverCpu = "cpu";
inline constexpr const char* kOverTasks = "processes";

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
  TreeLimits limits_;
  bool by_session_;
  TreeUsage last_;
  UniqueFd inner_;  // pidfd of the root's first child
};

/// Threads of all processes of this process's user; 0 where that is not to be had.
int num_user_tasks();

/// What the processes below `root` (itself included) use now.
TreeUsage measure_tree(pid_t root, bool by_session);

}  // namespace pupil
