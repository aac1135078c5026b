// The part of starting a child that runs between vfork and exec.

#pragma once

#include <span>

#include "base/process.h"

namespace pupil {

/// All that the child needs, laid out by the parent, because the child may not
/// allocate.
struct Launch {
  std::vector<char*> argv, environment;  // null-terminated
  const char* directory;
  std::span<const ProcessLimit> limits;
  std::vector<char*> join;       // null-terminated paths: "0" is written into each
  std::vector<int> descriptors;  // become 0, 1, 2, 3, ...; all of them >= kFirstFreeFd
  int failure_fd;                // takes a LaunchFailure; close-on-exec
  ChildHook before_exec;
  const void* hook_context;
};

inline constexpr int kFirstFreeFd = 16;

struct LaunchFailure {
  int error;
  char stage;  // what failed: d(escriptors) l(imits) g(roup) c(hdir) h(ook) e(xec)
};

/// Forks and execs. Returns the child's id, or -1 with errno set.
pid_t launch(const Launch& plan);

}  // namespace pupil
