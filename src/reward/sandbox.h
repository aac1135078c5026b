// Runs Python programs that nobody trusts, and through them programs of other
// languages. A box is one process tree that sees a Python interpreter, the tools of one
// language and an empty /tmp, nothing else: no network, no other files, no other
// processes, no environment, no descriptors; it is held to wall-clock, CPU, memory,
// process, file and output limits as a whole, and killed as a whole.
//
// Boundaries, in order of preference: bubblewrap (namespaces, a fresh root) with a
// seccomp filter that lists what is allowed; Landlock with the same filter where user
// namespaces are forbidden; Seatbelt on macOS. What is in force was tried at
// construction by a program that attacks it. Landlock is the weaker one: a box has no
// /tmp to write to, sees that a file exists though not what is in it, and, where we are
// no root, its number of processes is held to the limit by a watch, 20 ms late.

#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/process.h"
#include "data/language.h"
#include "reward/sandbox_config.h"

namespace pupil {

enum class Boundary { bubblewrap, landlock, seatbelt, none };
const char* name_of(Boundary boundary);

/// A Python program and what it reads.
struct Program {
  std::string source;
  std::string input;                  // standard input
  Language tools = Language::python;  // whose tools the box holds beside Python
};

/// For boxes whose messages are limited one by one.
inline constexpr size_t kUnlimitedOutput = size_t{1} << 40;

/// What happened when a program ran. Never thrown: failing is a box's normal work.
struct ExecutionResult {
  enum class Outcome {
    ok,             // exit code 0
    crashed,        // another exit code, or a signal
    timed_out,      // the wall-clock or the CPU limit
    out_of_memory,  // the memory or the process limit
    output_limit,   // wrote more than it may
    infra_error     // the box did not start: says nothing about the program
  };
  Outcome outcome = Outcome::infra_error;
  int exit_code = -1;
  int signal = 0;
  std::string output;  // stdout and stderr, as they came; for infra_error the trouble
  double wall_s = 0;
  double cpu_s = 0;

  std::string describe() const;  // "timed out after 10.0 s"
};

/// "ok", "crash", "timeout", "oom", "output-limit" or "infra-error".
const char* name_of(ExecutionResult::Outcome outcome);

/// A box with a program in it: a `Child` to talk to, and its end. One thread at a time.
class Box {
 public:
  ~Box();
  Box(Box&&) noexcept;
  Box& operator=(Box&&) noexcept;

  Child& child() { return *child_; }
  /// Whether the program was reached: takes the box's greeting off the output once it
  /// came. Without it nothing that the box did says anything about the program.
  bool started();
  /// Counts the wall-clock limit from now on: for a box that has waited for work.
  void restart_clock();
  /// Kills what is left, waits until the box is empty, and tells how it went.
  ExecutionResult finish();

 private:
  friend class Sandbox;
  struct Lease;
  Box(ProcessOptions options, std::unique_ptr<Lease> lease, std::string greeting);
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<Child> child_;
  std::string greeting_;
  bool started_ = false;
};

struct BoundaryPlan;
struct Interpreter;
struct Toolchain;
using MakePlan = BoundaryPlan (*)(const Interpreter&);

/// The boundary of this machine, and boxes inside it. May be used from many threads; at
/// most 64 boxes live at once, and one more waits.
class Sandbox {
 public:
  /// Finds a boundary and tries it. Throws std::runtime_error when there is none that
  /// holds, with what is missing, unless `config.unsafe`.
  explicit Sandbox(const SandboxConfig& config);
  /// The same, but of `boundaries` alone (sandbox_boundary.h), the best first.
  Sandbox(const SandboxConfig& config, std::span<const MakePlan> boundaries);
  ~Sandbox();

  Boundary boundary() const;
  /// One line: "bubblewrap + seccomp + cgroup v1 (memory, processes), Python 3.11.2
  /// (/usr/bin/python3.11)".
  const std::string& description() const;
  const SandboxConfig& config() const;

  /// The tools of a language as boxes hold them, or why they cannot; looked for once.
  const Toolchain& toolchain(Language language) const;
  /// The Python inside the boxes.
  const std::string& python_path() const;
  /// Whether programs can write files: into a /tmp of the box's own.
  bool has_scratch_folder() const { return boundary() == Boundary::bubblewrap; }

  ExecutionResult run(const Program& program) const;

  struct StartOptions {
    bool keep_input_open = false;  // more comes by Child::send
    size_t output_bytes = 0;       // another limit than the configured one
  };
  /// Starts a box without waiting for it. It ends with the thread that started it.
  Box start(const Program& program, const StartOptions& how) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pupil
