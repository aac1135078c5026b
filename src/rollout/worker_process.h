// A worker of ours (docs/worker_protocol.md) as a child process: a line to it, a line
// from it, each within a time and a size.

#pragma once

#include <sys/types.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/child_errors.h"
#include "base/process.h"

namespace pupil {

struct WorkerOptions {
  std::vector<std::string> command;      // command[0] is a path, not searched for
  std::vector<std::string> environment;  // "NAME=value"; the whole environment
  std::string errors_path;               // its stderr is added there; empty: nowhere
  double start_s = 120;                  // for its greeting
  double timeout_s = 600;                // for each later line that it owes us
  double end_s = 2;                      // for its end, once its stdin is closed
  size_t line_bytes = 16u << 20;         // a longer line is no message
  double backoff_s = 0.25;               // before the second start in a row; doubles
  int max_failures = 5;                  // in a row; then it is given up
};

/// The worker ended, kept silent or broke the protocol: this process is of no use any
/// more, another one may be.
struct WorkerTrouble : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One process. All calls come from one thread, which outlives it.
class WorkerProcess {
 public:
  /// Throws WorkerTrouble if it cannot be started.
  explicit WorkerProcess(const WorkerOptions& options);
  /// Closes its stdin, waits for its end, kills it where none comes; it is reaped.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Queues a line for its stdin; `receive` writes what does not fit the pipe.
  void send(std::string_view line);

  /// Its next line, without the end; the first one is its greeting. Throws
  /// WorkerTrouble where none comes in time.
  std::string receive();

  /// Throws WorkerTrouble if it has said anything that was not received, or ended.
  void expect_silence();

  void kill() { child_.kill(); }
  pid_t pid() const { return child_.pid(); }
  /// "; its stderr ends '...'", or "".
  std::string last_words() const { return errors_.ending(); }

 private:
  void pump(double wait_s);
  std::optional<std::string> take_line();
  std::string how_it_ended();

  const WorkerOptions& options_;
  Child child_;
  ChildErrors errors_;
  size_t searched_ = 0;  // bytes of its output that have no end of line
  bool greeted_ = false;
};

}  // namespace pupil
