// Runs one answer's code against a task's tests. The student's box gets the code and
// the calls; expected values and other tests stay outside (design.md, "tests").

#pragma once

#include <string>

#include "reward/sandbox.h"
#include "reward/test_cases.h"

namespace pupil {

struct Grade {
  int num_passed = 0;
  int num_tests = 0;    // those that say something about the answer
  std::string trouble;  // not empty: not the answer's fault, nothing can be said
  std::string note;     // one line: the first thing that failed
};

/// What is graded: code, and what it must do.
struct Submission {
  std::string code;
  std::string entry_point;
  std::string setup;  // for the checker
  TestCases tests;
  uint64_t order_key = 0;  // decides the order of the calls
};

/// Calls are tried each for itself: one that raises, hangs or kills the box loses no
/// result before it. May be called from many threads.
Grade grade(const Sandbox& sandbox, const Submission& submission);

}  // namespace pupil
