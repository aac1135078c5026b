// What a living box holds: its number, and with it its user and its control group, and
// the watch on its limits.

#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "reward/box_cgroup.h"
#include "reward/box_watch.h"
#include "reward/sandbox.h"
#include "reward/sandbox_boundary.h"

namespace pupil {

inline constexpr int kMaxBoxes = 64;

/// Numbers the boxes that live, so that each has a user of its own.
class BoxSlots {
 public:
  int take() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return used_ != ~0ull; });
    int slot = 0;
    while (used_ >> slot & 1) ++slot;
    used_ |= 1ull << slot;
    return slot;
  }
  void give_back(int slot) {
    std::lock_guard lock(mutex_);
    used_ &= ~(1ull << slot);
    freed_.notify_one();
  }

 private:
  static_assert(kMaxBoxes == 64);
  std::mutex mutex_;
  std::condition_variable freed_;
  uint64_t used_ = 0;
};

struct Box::Lease {
  Lease(
      std::shared_ptr<BoxSlots> slots,
      TreeLimits limits,
      bool by_session,
      const CgroupFolders& cgroups);
  ~Lease() {
    cgroup.reset();
    slots->give_back(slot);
  }

  /// Of 61184 to 65407, the range that systemd keeps for such users.
  BoxUser user() const;

  std::shared_ptr<BoxSlots> slots;
  int slot;
  BoxWatch watch;
  double cpu_limit_s;
  std::optional<BoxCgroup> cgroup;
};

}  // namespace pupil
