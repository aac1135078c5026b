// Stopping politely: the first SIGINT or SIGTERM asks, the second ends the process.

#pragma once

namespace pupil {

/// While it lives, SIGINT and SIGTERM set a flag, and a second one ends the process at
/// once with 128 + its number; a pipe whose reader has gone ends nothing. One at a
/// time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// A signal has arrived since construction. Any thread.
  static bool requested();
};

}  // namespace pupil
