// length, repetition and regex against TRL's values and their definitions.

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <random>
#include <set>

#include "reward/length_reward.h"
#include "reward/regex_reward.h"
#include "reward/repetition_reward.h"
#include "reward/reward_support.h"

namespace pupil {
namespace {

Score score_of(const RewardFn& reward, const Completion& completion) {
  const Task task;
  const Sample sample{&task, &completion};
  return reward({&sample, 1}).at(0);
}

Completion with_tokens(std::vector<int> tokens) {
  Completion completion;
  completion.tokens = std::move(tokens);
  return completion;
}

// TRL's get_soft_overlong_punishment(100, 20) at the corners of DAPO's eq. 13; -0.5 at
// 90 tokens is the example of its documentation.
TEST(LengthReward, IsTrlsSoftOverlongPunishment) {
  const LengthLimits limits{100, 20};
  EXPECT_EQ(overlong_punishment(0, limits), 0);
  EXPECT_EQ(overlong_punishment(80, limits), 0);
  EXPECT_EQ(overlong_punishment(81, limits), -0.05);
  EXPECT_EQ(overlong_punishment(90, limits), -0.5);
  EXPECT_EQ(overlong_punishment(100, limits), -1);
  EXPECT_EQ(overlong_punishment(101, limits), -1);
  EXPECT_EQ(overlong_punishment(1u << 30, limits), -1);
}

TEST(LengthReward, WithoutASlopeItIsAStep) {
  EXPECT_EQ(overlong_punishment(100, {100, 0}), 0);
  EXPECT_EQ(overlong_punishment(101, {100, 0}), -1);
  EXPECT_EQ(overlong_punishment(0, {100, 100}), 0);
  EXPECT_EQ(overlong_punishment(25, {100, 100}), -0.25);
  EXPECT_THROW(length_reward({100, 101}), std::invalid_argument);
}

TEST(LengthReward, CountsTokensAndNothingElse) {
  const auto reward = length_reward({4, 2});
  EXPECT_EQ(score_of(reward, with_tokens({1, 2, 3})).value, -0.5);
  auto text = make_completion("many words and no tokens");
  text.is_text_only = true;
  EXPECT_FALSE(score_of(reward, text).value);
}

// The example of TRL's get_repetition_penalty_reward.
TEST(RepetitionReward, IsTrls) {
  const auto reward = repetition_reward(2, -1.0);
  EXPECT_EQ(score_of(reward, with_tokens({1, 2, 3, 4})).value, 0.0);
  EXPECT_EQ(score_of(reward, with_tokens({5, 5, 5, 5, 5})).value, -0.75);
  EXPECT_EQ(score_of(reward, with_tokens({5})).value, 0.0);
  EXPECT_EQ(score_of(reward, with_tokens({})).value, 0.0);
  EXPECT_EQ(
      score_of(repetition_reward(2, -2.0), with_tokens({5, 5, 5, 5, 5})).value, -1.5);
  EXPECT_FALSE(std::signbit(*score_of(reward, with_tokens({1, 2})).value));
}

TEST(RepetitionReward, EqualsItsDefinition) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<int> tokens(random() % 60);
    for (int& token : tokens) token = static_cast<int>(random() % 4) - 1;
    const size_t n = 1 + random() % 5;
    std::set<std::vector<int>> different;
    double all = 0;
    for (size_t i = 0; i + n <= tokens.size(); ++i, ++all) {
      different.emplace(tokens.begin() + i, tokens.begin() + i + n);
    }
    const double expected =
        all == 0 ? 0 : 1 - static_cast<double>(different.size()) / all;
    EXPECT_EQ(repeated_share(tokens, static_cast<int>(n)), expected);
  }
}

double regex_of(const std::string& pattern, const std::string& text) {
  return score_of(regex_reward("regex", pattern), make_completion(text)).value.value();
}

TEST(RegexReward, OneWhereItMatches) {
  EXPECT_EQ(regex_of("return", "def f():\n    return 1"), 1);
  EXPECT_EQ(regex_of("^return", "def f():\n    return 1"), 0);
  EXPECT_EQ(regex_of("(?m)^    return", "def f():\n    return 1"), 1);
  EXPECT_EQ(regex_of("^def.*1$", "def f():\n    return 1"), 1);
  EXPECT_EQ(regex_of("(?-s)^def.*1$", "def f():\n    return 1"), 0);
  const std::string think = "^<think>[^<]*</think>[^<]*$";
  EXPECT_EQ(regex_of(think, "<think>\nso\n</think>\nThe answer."), 1);
  EXPECT_EQ(regex_of(think, "<think>\nso\nThe answer."), 0);
  EXPECT_EQ(regex_of("", ""), 1);
}

// Each of these takes a backtracking engine longer than the universe has.
TEST(RegexReward, TimeIsLinear) {
  const std::string hostile(1 << 20, 'a');
  const auto start = std::chrono::steady_clock::now();
  for (const char* pattern :
       {"(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)x$", "([a-z]+)+[0-9]"}) {
    EXPECT_EQ(regex_of(pattern, hostile), 0) << pattern;
  }
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 20);  // linear: well below a second
}

TEST(RegexReward, WhatItCannotDoIsAnErrorAtTheStart) {
  for (const std::string pattern :
       {"(", "(?=x)", "(?!x)", "(a)\\1", "[", "a{2000}", "(((a{500}){500}){500})"}) {
    try {
      regex_reward("mine", pattern);
      FAIL() << pattern;
    } catch (const std::invalid_argument& error) {
      EXPECT_TRUE(std::string(error.what())
                      .starts_with("[config] reward.functions: mine: pattern '"))
          << error.what();
    }
  }
}

TEST(RegexReward, BytesThatAreNoTextAreNoTrouble) {
  EXPECT_EQ(regex_of("x", "\xff\xfe\x80x"), 1);
  EXPECT_EQ(regex_of("b$", std::string("a\0b", 3)), 1);
}

}  // namespace
}  // namespace pupil
