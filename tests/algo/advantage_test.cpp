#include "algo/advantage.h"

#include <gtest/gtest.h>
#include <cmath>
#include <random>

namespace pupil {

namespace {

std::vector<double> of_group(const GroupRewards& rewards, ScaleRewards scale) {
  std::vector<GroupRewards> groups = {rewards};
  return advantages_of(groups, scale)[0];
}

// A random group whose rewards are multiples of a quarter, some of them unscored.
GroupRewards random_group(std::mt19937& random) {
  GroupRewards rewards(2 + random() % 9);
  for (auto& reward : rewards) {
    if (random() % 4 != 0) reward = 0.25 * (random() % 5);
  }
  return rewards;
}

GroupRewards scored_only(const GroupRewards& rewards) {
  GroupRewards scored;
  for (const auto& reward : rewards) {
    if (reward) scored.push_back(reward);
  }
  return scored;
}

}  // namespace

TEST(Advantage, EqualsTrlsRecordedValues) {
  auto advantages = of_group({0.5, 1.0, 0.25, 1.0}, ScaleRewards::group);
  std::vector<double> recorded = {
      -0.49986670221274326, 0.8331111703545722, -1.166355638496401, 0.8331111703545722};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(advantages[i], recorded[i], 1e-12);
}

TEST(Advantage, NoneOnlyCentres) {
  auto advantages = of_group({0.5, 1.0, 0.0}, ScaleRewards::none);
  EXPECT_EQ(advantages, (std::vector<double>{0.0, 0.5, -0.5}));
}

TEST(Advantage, BatchDividesByTheWholeBatchsStd) {
  std::vector<GroupRewards> groups = {{0.0, 1.0}, {0.5, 0.0, {}}};
  auto advantages = advantages_of(groups, ScaleRewards::batch);
  double std = std::sqrt((2 * 0.375 * 0.375 + 0.625 * 0.625 + 0.125 * 0.125) / 3);
  EXPECT_NEAR(advantages[0][1], 0.5 / (std + 1e-4), 1e-12);
  EXPECT_NEAR(advantages[1][0], 0.25 / (std + 1e-4), 1e-12);
  EXPECT_EQ(advantages[1][2], 0.0);
}

TEST(Advantage, AGroupWithoutSpreadGetsExactZeros) {
  // 0.1 is no binary fraction: its mean over 7 differs from it by rounding.
  GroupRewards equal(7, 0.1);
  equal.push_back(std::nullopt);
  for (auto scale : {ScaleRewards::group, ScaleRewards::batch, ScaleRewards::none}) {
    for (double a : of_group(equal, scale)) EXPECT_EQ(a, 0.0);
  }
  EXPECT_FALSE(has_spread(equal));
  EXPECT_EQ(
      of_group({{}, 1.0, {}}, ScaleRewards::group), (std::vector<double>{0, 0, 0}));
}

TEST(Advantage, UnscoredRewardsChangeNoBitOfTheOthers) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 3400; ++trial) {  // of 3 groups each
    std::vector<GroupRewards> with, without;
    for (int i = 0; i < 3; ++i) {
      with.push_back(random_group(random));
      without.push_back(scored_only(with.back()));
    }
    for (auto scale : {ScaleRewards::group, ScaleRewards::batch, ScaleRewards::none}) {
      auto a = advantages_of(with, scale), b = advantages_of(without, scale);
      for (int g = 0; g < 3; ++g) {
        std::vector<double> kept;
        for (size_t i = 0; i < with[g].size(); ++i) {
          if (with[g][i])
            kept.push_back(a[g][i]);
          else
            ASSERT_EQ(a[g][i], 0.0);
        }
        ASSERT_EQ(kept, b[g]);
      }
    }
  }
}

TEST(Advantage, UnknownNamesAreErrors) {
  EXPECT_EQ(scale_rewards_of("batch"), ScaleRewards::batch);
  EXPECT_THROW(scale_rewards_of("std"), std::invalid_argument);
}

}  // namespace pupil
