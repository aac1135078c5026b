// Guesses are not paid, and solutions lose nothing by that.

#include "reward/guessing.h"

#include <gtest/gtest.h>

#include "reward/reward_support.h"
#include "reward/tests_reward.h"

namespace pupil {
namespace {

Score score(const Task& task, const std::string& code) {
  const Completion completion = make_completion(fenced(code));
  const Sample sample{&task, &completion};
  return tests_reward(shared_sandbox(), 2)({&sample, 1})[0];
}

Task even_task(int num_tests) {
  std::vector<std::string> tests;
  for (int i = 0; i < num_tests; ++i) {
    const std::string expected = i % 2 == 0 ? "True" : "False";
    tests.push_back("assert is_even(" + std::to_string(i) + ") == " + expected);
  }
  return make_task("is_even", tests);
}

TEST(Guessing, AConstantOfFewTestsEarnsNothingAndASolutionAll) {
  const Task task = even_task(3);  // True, False, True
  for (const char* guess : {"True", "False", "1", "x == 7"}) {
    const auto guessed = score(task, std::string("def is_even(x): return ") + guess);
    EXPECT_EQ(guessed.value, 0.0) << guess << ": " << guessed.reason;
  }
  EXPECT_EQ(score(task, "def is_even(x): return x % 2 == 0").value, 1.0);
  const auto constant = score(task, "def is_even(x): return True");
  EXPECT_EQ(
      constant.reason.substr(0, 53),
      "2 of 3 tests passed (always the same value passes 2);");
}

TEST(Guessing, WhatIsBeyondAConstantCounts) {
  const Task task = even_task(7);  // a constant passes 4
  const auto five = score(task, "def is_even(x): return x % 2 == 0 or x in (1, 3)");
  EXPECT_NEAR(five.value.value(), 1.0 / 3, 1e-12) << five.reason;
}

TEST(Guessing, FromEightTestsOnTheShareCounts) {
  const Task task = even_task(8);
  EXPECT_EQ(score(task, "def is_even(x): return True").value, 0.5);
}

TEST(Guessing, TheSameHoldsForWhatProgramsPrint) {
  Task task;
  task.id = "yes";
  task.prompt = "Print YES for an even number, else NO.";
  task.language = "python";
  task.io_tests = {{"1\n", "NO\n"}, {"2\n", "YES\n"}, {"3\n", "NO"}};
  EXPECT_EQ(score(task, "print('NO')").value, 0.0);
  EXPECT_EQ(score(task, "print('NO' if int(input()) % 2 else 'YES')").value, 1.0);
}

Task task_of(const std::vector<std::string>& expected) {
  std::vector<std::string> tests;
  for (size_t i = 0; i < expected.size(); ++i)
    tests.push_back("assert f(" + std::to_string(i) + ") == " + expected[i]);
  return make_task("f", tests);
}

bool guessable(const std::vector<std::string>& expected) {
  const Task task = task_of(expected);
  return is_guessable(task, split_tests(task.tests));
}

TEST(Guessing, IsWhereFewValuesAreExpected) {
  EXPECT_TRUE(guessable({"True", "False"}));
  EXPECT_TRUE(guessable({"'Equal'", "'Not Equal'", "'Not Equal'"}));
  EXPECT_TRUE(guessable({"1", "1.0", "True", "7"}));  // the same to Python
  EXPECT_TRUE(guessable({"[1]", "[1]", "[1]"}));
  EXPECT_FALSE(guessable({"3", "4"}));
  EXPECT_FALSE(guessable({"3", "3", "4", "4"}));
  EXPECT_FALSE(guessable({"True"}));  // one test tells nothing of the kind
  EXPECT_FALSE(guessable(std::vector<std::string>(8, "True")));
}

TEST(Guessing, CorrectionForGuessing) {
  EXPECT_EQ(share_beyond_guess(3, 4, 0), 0.75);
  EXPECT_EQ(share_beyond_guess(3, 4, 2), 0.5);
  EXPECT_EQ(share_beyond_guess(1, 4, 2), 0.0);
  EXPECT_EQ(share_beyond_guess(4, 4, 2), 1.0);
  EXPECT_EQ(share_beyond_guess(2, 3, 3), 2.0 / 3);  // all tests want one value
}

}  // namespace
}  // namespace pupil
