// Runs one answer's code against a task's tests. The student's box gets the code and
// the calls; expected values and other tests stay outside (design.md, "tests").

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reward/sandbox.h"
#include "reward/test_cases.h"

namespace pupil {

struct Grade {
  int num_passed = 0;
  int num_tests = 0;    // those that say something about the answer
  std::string trouble;  // not empty: not the answer's fault, nothing can be said
  std::string note;     // one line: the first thing that failed
  // How the code's first run that failed ended; ok: all ran to their end.
  ExecutionResult::Outcome end = ExecutionResult::Outcome::ok;

  /// "ok", "wrong", "crash", "timeout", "oom", "output-limit" or "infra-error".
  const char* result_class() const;
};

/// What is graded: code, and what it must do.
struct Submission {
  std::string preamble = {};  // the task's own code, run before the answer's
  std::string code;
  std::string entry_point;
  std::vector<std::string> classes = {};  // of the code, that tests make objects of
  std::string setup;                      // for the checker
  TestCases tests;
  uint64_t order_key = 0;  // decides the order of the calls
};

/// Where boxes come from: a pool's, or started on the spot.
using StartBox = std::function<Box(const Program&)>;

struct Boxes {
  const Sandbox& sandbox;
  StartBox start;
};

/// Boxes of `sandbox` that are started when they are asked for.
Boxes fresh_boxes(const Sandbox& sandbox);

/// The programs that graded boxes begin with, for a pool to prepare.
Program student_box_program(const SandboxConfig& config);
Program checker_box_program(const SandboxConfig& config);

/// Calls are tried each for itself: one that raises, hangs or kills the box loses no
/// result before it. May be called from many threads.
Grade grade(const Boxes& boxes, const Submission& submission);
inline Grade grade(const Sandbox& sandbox, const Submission& submission) {
  return grade(fresh_boxes(sandbox), submission);
}

}  // namespace pupil
