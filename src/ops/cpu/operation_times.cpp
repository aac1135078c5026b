#include "ops/cpu/operation_times.h"

#include <atomic>
#include <mutex>

namespace pupil::cpu {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> is_on = false;

struct Times {
  std::mutex mutex;
  std::map<std::string, double> seconds;
};

// Never destroyed: MLX's threads may still compute while the process ends.
Times& times() {
  static auto* instance = new Times;
  return *instance;
}

}  // namespace

void time_operations(bool on) {
  std::lock_guard lock(times().mutex);
  times().seconds.clear();
  is_on = on;
}

std::map<std::string, double> operation_seconds() {
  std::lock_guard lock(times().mutex);
  return times().seconds;
}

OperationTimer::OperationTimer(const char* name)
    : name_(is_on.load(std::memory_order_relaxed) ? name : nullptr) {
  if (name_) start_ = Clock::now();
}

OperationTimer::~OperationTimer() {
  if (!name_) return;
  std::chrono::duration<double> passed = Clock::now() - start_;
  std::lock_guard lock(times().mutex);
  times().seconds[name_] += passed.count();
}

}  // namespace pupil::cpu
