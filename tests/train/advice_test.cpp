#include "train/advice.h"

#include <gtest/gtest.h>

#include "support/files.h"

namespace pupil {

namespace {

using testing::has;

nlohmann::ordered_json calm_row() {
  return {
      {"frac_reward_zero_std", 0.1},
      {"completions/clipped_ratio", 0.1},
      {"unscored", 0},
      {"entropy", 0.5},
      {"kl", 0.01},
      {"clip_ratio/region_mean", 0.01}};
}

std::vector<std::string> said_of(Advice& advice, nlohmann::ordered_json row, int rows) {
  std::vector<std::string> lines;
  for (int i = 0; i < rows; ++i) {
    for (auto& line : advice.add(row)) lines.push_back(line);
  }
  return lines;
}

}  // namespace

TEST(Advice, ACalmRunHearsNothing) {
  Advice advice;
  EXPECT_TRUE(said_of(advice, calm_row(), 50).empty());
}

TEST(Advice, EachTroubleIsToldOnceWithItsNumberAndItsFix) {
  struct Case {
    const char* metric;
    double value;
    std::vector<std::string> parts;
  };
  const Case cases[] = {
      {"frac_reward_zero_std",
       0.37,
       {"37 % of groups have no spread", "rollout.temperature", "dynamic_sampling"}},
      {"completions/clipped_ratio", 0.8, {"80 % of", "max_completion_length"}},
      {"unscored", 1.5, {"1.5 completions a step", "rollouts.jsonl"}},
      {"entropy", 0.01, {"0.010 nats", "train.learning_rate"}},
      {"kl", 2.5, {"2.5 nats", "train.beta"}},
      {"clip_ratio/region_mean", 0.4, {"40 % of tokens", "num_iterations"}}};
  for (const auto& c : cases) {
    auto row = calm_row();
    row[c.metric] = c.value;
    Advice advice;
    EXPECT_TRUE(said_of(advice, row, 4).empty()) << c.metric;  // too few to tell
    auto lines = said_of(advice, row, 50);
    ASSERT_EQ(lines.size(), 1u) << c.metric;
    for (const auto& part : c.parts) EXPECT_TRUE(has(lines[0], part));
  }
}

TEST(Advice, AResumedRunDoesNotHearItAgain) {
  auto row = calm_row();
  row["kl"] = 3;
  Advice advice, resumed;
  EXPECT_EQ(said_of(advice, row, 9).size(), 1u);
  resumed.set_said(advice.said());
  EXPECT_TRUE(said_of(resumed, row, 9).empty());
}

TEST(Advice, OneOddStepIsNoTrouble) {
  Advice advice;
  auto odd = calm_row();
  odd["completions/clipped_ratio"] = 1;
  EXPECT_TRUE(said_of(advice, calm_row(), 6).empty());
  EXPECT_TRUE(said_of(advice, odd, 1).empty());
  auto null = calm_row();
  null["entropy"] = nullptr;  // nothing was trained
  EXPECT_TRUE(said_of(advice, null, 9).empty());
}

}  // namespace pupil
