#include <gtest/gtest.h>
#include <cmath>

#include "algo/advantage.h"

namespace pupil {

namespace {

const AdvantageInputs kRound{
    {{1.0, 0.0, 0.5}, {0.25, {}, 0.75}}, {{4, 2, 6}, {3, 5, 1}}, {"a", "b"}};

std::vector<std::vector<double>> of_round(Baseline baseline, ScaleRewards scale) {
  RunningBaseline running;
  return advantages_of(kRound, baseline, scale, running);
}

}  // namespace

TEST(Baseline, LeaveOneOutSubtractsTheMeanOfTheOthers) {
  auto a = of_round(Baseline::leave_one_out, ScaleRewards::none);
  EXPECT_NEAR(a[0][0], 1.0 - 0.25, 1e-15);
  EXPECT_NEAR(a[0][1], 0.0 - 0.75, 1e-15);
  EXPECT_NEAR(a[0][2], 0.0, 1e-15);
  EXPECT_NEAR(a[1][0], -0.5, 1e-15);
  EXPECT_EQ(a[1][1], 0.0);
}

TEST(Baseline, LengthWeightedUsesTokens) {
  auto a = of_round(Baseline::length_weighted, ScaleRewards::none);
  double mean = (4 * 1.0 + 2 * 0.0 + 6 * 0.5) / 12;
  EXPECT_NEAR(a[0][0], 1.0 - mean, 1e-15);
  EXPECT_NEAR(a[1][2], 0.75 - (3 * 0.25 + 0.75) / 4, 1e-15);
}

TEST(Baseline, WhiteningGivesTokensMeanZeroAndVarianceOne) {
  for (auto baseline : {Baseline::none, Baseline::group}) {
    auto a = of_round(baseline, ScaleRewards::whiten);
    double tokens = 0, sum = 0, squares = 0;
    for (int g = 0; g < 2; ++g) {
      for (int i = 0; i < 3; ++i) {
        if (!kRound.rewards[g][i]) continue;
        tokens += kRound.lengths[g][i];
        sum += kRound.lengths[g][i] * a[g][i];
        squares += kRound.lengths[g][i] * a[g][i] * a[g][i];
      }
    }
    EXPECT_NEAR(sum / tokens, 0, 1e-12);
    EXPECT_NEAR(squares / (tokens - 1), 1, 1e-5);
    EXPECT_EQ(a[1][1], 0.0);
  }
}

TEST(Baseline, RunningRemembersEarlierRounds) {
  RunningBaseline running;
  auto first = advantages_of(kRound, Baseline::running, ScaleRewards::none, running);
  EXPECT_NEAR(first[0][0], 0.5, 1e-15);  // nothing known: the group's mean
  AdvantageInputs again{{{1.0, 1.0, 1.0}}, {{1, 1, 1}}, {"a"}};
  auto second = advantages_of(again, Baseline::running, ScaleRewards::none, running);
  EXPECT_NEAR(second[0][0], 0.5, 1e-15);  // a group without spread teaches here
  EXPECT_NEAR(running.entries.at("a").mean, 0.75, 1e-15);
  EXPECT_EQ(running.entries.at("a").count, 6);
  EXPECT_EQ(running.entries.at("b").count, 2);
}

TEST(Baseline, ScalesAsTheGroupBaselineDoes) {
  RunningBaseline running;
  for (auto scale : {ScaleRewards::group, ScaleRewards::batch}) {
    auto plain = advantages_of(kRound, Baseline::leave_one_out, scale, running);
    auto group = advantages_of(kRound.rewards, scale);
    // Of n rewards, r - mean of the others = (r - mean) n / (n - 1).
    EXPECT_NEAR(plain[0][0], group[0][0] * 3 / 2, 1e-12);
    EXPECT_NEAR(plain[1][0], group[1][0] * 2, 1e-12);
  }
}

TEST(Baseline, EqualRewardsGiveExactZeros) {
  AdvantageInputs equal{{GroupRewards(7, 0.1)}, {{1, 2, 3, 4, 5, 6, 7}}, {"a"}};
  RunningBaseline running;
  for (auto baseline : {Baseline::leave_one_out, Baseline::length_weighted}) {
    auto a = advantages_of(equal, baseline, ScaleRewards::group, running);
    for (double x : a[0]) EXPECT_EQ(x, 0.0);
  }
}

// running and none leave something of them, which must not be blown up.
TEST(Baseline, EqualRewardsAreNotDivided) {
  AdvantageInputs first{{{1.0, 0.0}}, {{1, 1}}, {"a"}};
  AdvantageInputs equal{{{0.0, 0.0, {}}}, {{1, 1, 1}}, {"a"}};
  for (auto scale : {ScaleRewards::group, ScaleRewards::batch}) {
    RunningBaseline running;
    advantages_of(first, Baseline::running, scale, running);
    auto a = advantages_of(equal, Baseline::running, scale, running);
    EXPECT_EQ(a[0], (std::vector<double>{-0.5, -0.5, 0.0}));
  }
  AdvantageInputs mixed{{{1.0, 1.0}, {1.0, 0.0}}, {{1, 1}, {1, 1}}, {"a", "b"}};
  RunningBaseline running;
  auto a = advantages_of(mixed, Baseline::none, ScaleRewards::group, running);
  EXPECT_EQ(a[0], (std::vector<double>{1.0, 1.0}));
  EXPECT_NEAR(a[1][0], 1 / (std::sqrt(0.5) + 1e-4), 1e-12);
}

TEST(Baseline, NamesAreChecked) {
  EXPECT_EQ(baseline_of("running"), Baseline::running);
  EXPECT_THROW(baseline_of("ema"), std::invalid_argument);
  EXPECT_EQ(scale_rewards_of("whiten"), ScaleRewards::whiten);
}

}  // namespace pupil
