#pragma once

#include <chrono>

namespace pupil {

/// Seconds between laps, by a clock that never goes back.
class Stopwatch {
 public:
  /// Seconds since construction or the last lap.
  double lap() {
    auto now = Clock::now();
    std::chrono::duration<double> passed = now - last_;
    last_ = now;
    return passed.count();
  }

  /// Seconds since construction or the last lap, without starting a new lap.
  double seconds() const {
    return std::chrono::duration<double>(Clock::now() - last_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

}  // namespace pupil
