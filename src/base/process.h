// Child processes: started in a session of their own with nothing inherited, fed and
// read through pipes, held to a deadline and an output limit, killed as a group,
// reaped.

#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace pupil {

/// One resource limit of a child. Bounds above what this process may set are lowered.
struct ProcessLimit {
  int resource;  // RLIMIT_*
  uint64_t soft, hard;
};

/// Runs in the child right before execve, between vfork and exec: only
/// async-signal-safe calls, no allocation, no write to memory that the parent uses.
/// Returns 0, or the errno that the parent reports as a failure to start.
using ChildHook = int (*)(const void* context);

/// A ChildHook: on Linux the child is killed when the thread that started it ends, so
/// that it cannot outlive us.
int die_with_parent(const void* context);

/// As `error_bytes`: more than a child's stderr grows in one step, so that nothing is
/// lost to whoever takes it after each.
constexpr size_t kErrorsOfOneStep = 2u << 20;

struct ProcessOptions {
  std::vector<std::string> argv;         // argv[0] is a path, not searched for
  std::vector<std::string> environment;  // "NAME=value"; the whole environment
  std::string directory = "/";
  std::string input;               // for standard input
  bool keep_input_open = false;    // more comes by Child::send
  std::vector<std::string> files;  // contents of descriptors 3, 4, ...; each < 60 KiB
  std::vector<ProcessLimit> limits;
  std::vector<std::string> join;  // files of control groups that the child enters
  double wall_s = 10;
  size_t output_bytes = 1 << 16;  // stdout and stderr together; killed beyond it
  size_t error_bytes = 0;  // not 0: stderr is apart, and as much of its end is kept
  ChildHook before_exec = nullptr;
  std::shared_ptr<const void> hook_context;  // what `before_exec` is given
  /// Called at the first output and about every 20 ms; a reason kills the child.
  std::function<std::string(pid_t)> watch;
};

/// How a child ended. A child that failed is a value, never an exception.
struct ProcessResult {
  std::string start_error;  // not empty: it never ran, and why
  int exit_code = -1;       // -1: it ended by a signal
  int signal = 0;           // 0: it ended by itself
  bool timed_out = false;
  bool output_exceeded = false;
  std::string watch_reason;  // not empty: killed by `watch`, and why
  std::string output;        // stdout and stderr as they came, what send/take left
  std::string errors;        // stderr, where it is apart
  double wall_s = 0;
  double cpu_s = 0;               // of the child and what it waited for
  int64_t peak_memory_bytes = 0;  // of its largest process
};

/// A running child. One thread at a time; many children may live at once. Destroying it
/// kills the child and its process group.
class Child {
 public:
  /// Starts it; trouble is told by `result().start_error`.
  explicit Child(ProcessOptions options);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Queues bytes for its standard input. Bytes for a child that is gone are dropped.
  void send(std::string_view bytes);
  /// Closes its standard input once all that was queued is written.
  void close_input();
  /// Output not taken yet; the caller may erase what it has used.
  std::string& output() { return result_.output; }
  /// Where `error_bytes` is set: the end of stderr, which may be taken the same way.
  std::string& errors() { return result_.errors; }
  /// From now on `output_bytes` more are allowed.
  void renew_output_limit() { num_read_ = 0; }
  void kill();
  /// Counts the wall-clock limit from now on: for a child that has waited for work.
  void restart_clock() { start_ = Clock::now(); }
  bool finished() const { return finished_; }
  /// It will say no more: it closed its standard output, or it ended.
  bool output_closed() const { return !output_; }
  pid_t pid() const { return pid_; }
  const ProcessResult& result() const { return result_; }

  /// Moves bytes and enforces limits, waiting at most `wait_s` for something to happen.
  static void pump(std::span<Child* const> children, double wait_s);

 private:
  using Clock = std::chrono::steady_clock;

  std::string start();  // empty, or why it could not start
  double remaining_s() const;
  void step();
  void read_output();
  void read_errors();
  void write_input();
  void enforce_limits();
  void reap_if_ended();
  void record_end(int status);

  ProcessOptions options_;
  ProcessResult result_;
  pid_t pid_ = -1;
  UniqueFd input_, output_, errors_;
  std::string pending_input_;
  bool input_closing_ = false, finished_ = false, killed_ = false;
  size_t num_read_ = 0;
  Clock::time_point start_, last_watch_;
  std::optional<Clock::time_point> ended_;  // set once it exited and output may trail
};

/// Starts a child, feeds it and waits for its end.
ProcessResult run_process(ProcessOptions options);

/// Where `name` is found along the PATH of this process; empty: nowhere. A name with a
/// slash is taken as it is.
std::string find_program(const std::string& name);

}  // namespace pupil
