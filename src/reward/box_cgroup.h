// Control groups, version 1 or 2, around a box: its memory, kernel memory, /tmp and all
// its processes together, held by the kernel itself. Root has them, or a user to whom a
// group was delegated; without them the watch (box_watch.h) keeps the limits, 20 ms
// late.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pupil {

/// Where this process may make groups. Empty: nowhere.
struct CgroupFolders {
  std::string memory;
  std::string processes;  // version 2: the same folder
  int version = 0;        // 0: there are none

  /// "cgroup v1 (memory, processes)", or "" without any.
  std::string description() const;
};

/// Looks for folders and tries them: makes a group in each and removes it. `mounts` and
/// `membership` have the formats of /proc/self/mounts and /proc/self/cgroup.
CgroupFolders find_cgroups(const std::string& mounts, const std::string& membership);
CgroupFolders find_cgroups();

struct CgroupLimits {
  int64_t memory_bytes;
  int processes;
};

/// The groups of one box. One thread at a time.
class BoxCgroup {
 public:
  /// Makes groups with the name `name`, which no other living box of this process has.
  /// Where one cannot be made or limited there is none: see `join`.
  BoxCgroup(const CgroupFolders& folders, const std::string& name, CgroupLimits limits);
  /// Kills what is left in them and removes them.
  ~BoxCgroup();
  BoxCgroup(const BoxCgroup&) = delete;
  BoxCgroup& operator=(const BoxCgroup&) = delete;

  /// The files that put a process into them (ProcessOptions::join).
  std::vector<std::string> join() const;
  /// Whether the kernel killed a process for want of memory.
  bool ran_out_of_memory() const;

 private:
  int version_ = 0;
  std::vector<std::string> groups_;  // memory first
};

}  // namespace pupil
