// What a task's tests are worth to an answer that guesses. Three tests that want True,
// False, True pay two thirds to `return True`: that is no sign of a solution.

#pragma once

#include <cstddef>

#include "data/types.h"
#include "reward/test_cases.h"

namespace pupil {

/// From so many tests on a guess is hardly ever right throughout, and a task's score is
/// the plain share of tests passed.
inline constexpr size_t kSafeTests = 8;

/// The most tests that an answer can pass which always gives the same value: of the
/// expected values the most frequent one's count.
int most_by_one_value(const Task& task, const TestCases& tests);

/// Whether the expected values are so few that guessing pays: fewer tests than
/// kSafeTests, and one value fits more than half of them, or all want True or False.
bool is_guessable(const Task& task, const TestCases& tests);

/// The share of tests passed, beyond what the best constant answer passes too: the
/// correction for guessing of examinations, (passed - constant) / (total - constant),
/// at least 0. A solution has 1, a constant 0. Where all tests want one value nothing
/// can be told, and it is the plain share.
double share_beyond_guess(int passed, int total, int constant);

}  // namespace pupil
