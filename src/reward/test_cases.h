// A task's tests, split at load into what a student's box may see and what it may not.

#pragma once

#include <string>
#include <vector>

#include "data/types.h"
#include "reward/literal.h"

namespace pupil {

/// `assert f(<literals>) == <literal>`: the call goes into the box, the value stays
/// here.
struct LiteralTest {
  std::string call;  // "f([1, 2], key=3)"
  Value expected;
};

/// The tests of a task. `other` holds those of any other form, which run in a checker.
struct TestCases {
  std::vector<LiteralTest> literal;
  std::vector<std::string> other;
};

/// `test` as a LiteralTest, if it has that form and nothing else in it.
std::optional<LiteralTest> as_literal_test(const std::string& test);

TestCases split_tests(const std::vector<std::string>& tests);

/// The function that the answer must define: the task's, or else the one that its first
/// literal test calls; empty if neither says.
std::string entry_point_of(const Task& task);

}  // namespace pupil
