#include "reward/reward_config.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace pupil {
namespace {

using Function = RewardFunctionConfig;

Function command(std::vector<std::string> words) {
  Function function;
  function.command = std::move(words);
  return function;
}

Function named(const std::string& name) {
  Function function;
  function.name = name;
  return function;
}

TEST(RewardNames, OfACommandIsItsScripts) {
  EXPECT_EQ(display_name(command({"python3", "my_reward.py"})), "my_reward");
  EXPECT_EQ(
      display_name(command({"python3", "-u", "a/b/judge.v2.py", "x"})), "judge.v2");
  EXPECT_EQ(display_name(command({"./rewards/mine"})), "mine");
  EXPECT_EQ(display_name(command({"python3", "-c", "print('a b')"})), "python3");
  auto function = command({"python3", "a.py"});
  function.name = "b";
  EXPECT_EQ(display_name(function), "b");
}

TEST(RewardNames, OfAPattern) {
  Function function;
  function.pattern = "x";
  EXPECT_EQ(display_name(function), "regex");
  EXPECT_EQ(function.problem(), "");
  function.name = "think";
  EXPECT_EQ(display_name(function), "think");
  EXPECT_EQ(function.problem(), "");
}

std::string problem_of(
    Function function, const std::function<void(Function&)>& change) {
  change(function);
  return function.problem();
}

TEST(RewardProblems, AreNamed) {
  EXPECT_EQ(command({"a"}).problem(), "");
  EXPECT_EQ(named("tests").problem(), "");
  EXPECT_TRUE(
      named("").problem().starts_with("name is missing, expected one of tests, "));
  EXPECT_TRUE(named("tets").problem().starts_with("name: expected one of tests, "));
  EXPECT_TRUE(named("tests|format").problem().starts_with("name: expected one of "));
  EXPECT_EQ(named("regex").problem(), "pattern is missing, expected one for regex");
  EXPECT_EQ(
      command({""}).problem(),
      "command: expected a program and its arguments, got an empty name");
  EXPECT_EQ(
      problem_of(command({"a"}), [](auto& f) { f.pattern = "x"; }),
      "pattern: expected a command or a pattern");
  EXPECT_EQ(
      problem_of(command({"a"}), [](auto& f) { f.name = "tests"; }),
      "name: 'tests' is a reward of its own; choose another name");
  for (const char* name : {"a b", "../x", "a/b", "\n"}) {
    EXPECT_NE(problem_of(command({"a"}), [&](auto& f) { f.name = name; }), "") << name;
  }
}

TEST(RewardProblems, AKeyThatWouldBeIgnoredIsOne) {
  EXPECT_EQ(
      problem_of(named("tests"), [](auto& f) { f.timeout_s = 1; }),
      "timeout_s: is a key of command, not of 'tests'");
  EXPECT_EQ(
      problem_of(named("length"), [](auto& f) { f.ngram_size = 1; }),
      "ngram_size: is a key of repetition, not of 'length'");
  EXPECT_EQ(
      problem_of(command({"a"}), [](auto& f) { f.max_penalty = -1; }),
      "max_penalty: is a key of repetition, not of 'command'");
  EXPECT_EQ(problem_of(named("length"), [](auto& f) { f.soft_punish_cache = 1; }), "");
}

TEST(RewardProblems, TwoOfOneName) {
  auto a = command({"python3", "x.py"}), b = command({"python3", "y/x.py"});
  EXPECT_THROW(check_reward_functions({a, b}), std::invalid_argument);
  b.name = "y";
  EXPECT_NO_THROW(check_reward_functions({a, b}));
  EXPECT_THROW(
      check_reward_functions({named("tests"), named("tests")}), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
