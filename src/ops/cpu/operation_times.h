// How long the CPU kernels take, by operation: what `pupil bench` reports as parts.

#pragma once

#include <chrono>
#include <map>
#include <string>

namespace pupil::cpu {

/// Forgets what was measured; from now on operations are timed, or they are not.
void time_operations(bool on);

/// Seconds by operation since `time_operations(true)`, on the stream's thread. MLX's
/// own operations are not among them.
std::map<std::string, double> operation_seconds();

/// Measures from construction to destruction, if operations are timed.
class OperationTimer {
 public:
  explicit OperationTimer(const char* name);
  ~OperationTimer();
  OperationTimer(const OperationTimer&) = delete;
  OperationTimer& operator=(const OperationTimer&) = delete;

 private:
  const char* name_;  // null: not timed
  std::chrono::steady_clock::time_point start_;
};

}  // namespace pupil::cpu
