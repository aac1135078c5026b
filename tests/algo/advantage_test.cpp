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

namespace {

// A batch of `num_groups` groups with `weights.size()` functions, some scores missing.
using FunctionScores = std::vector<GroupRewards>;  // [functions][rollouts]

// By completion, as the function takes them; nothing of one without a reward.
std::vector<std::vector<double>> advantages_of_scores(
    const std::vector<FunctionScores>& scores,
    const std::vector<GroupRewards>& rewards,
    const std::vector<double>& weights) {
  std::vector<GroupScores> groups;
  for (size_t g = 0; g < scores.size(); ++g) {
    auto& rows = groups.emplace_back(rewards[g].size(), RewardRow(weights.size()));
    for (size_t i = 0; i < rows.size(); ++i)
      for (size_t k = 0; k < weights.size() && rewards[g][i]; ++k)
        rows[i][k] = scores[g][k][i];
  }
  return normalize_then_sum(groups, weights);
}

struct ScoredBatch {
  std::vector<FunctionScores> scores;
  std::vector<GroupRewards> rewards;
};

ScoredBatch random_batch(std::mt19937& random, size_t num_functions) {
  ScoredBatch batch;
  for (int g = 0; g < 3; ++g) {
    const size_t rows = 2 + random() % 7;
    FunctionScores scores(num_functions, GroupRewards(rows));
    GroupRewards rewards(rows, 0.0);
    for (size_t i = 0; i < rows; ++i) {
      for (auto& function : scores) {
        if (random() % 9 != 0) function[i] = 0.25 * (random() % 5);
        if (!function[i]) rewards[i].reset();
      }
    }
    batch.scores.push_back(scores);
    batch.rewards.push_back(rewards);
  }
  return batch;
}

ScoredBatch rewarded_only(const ScoredBatch& batch) {
  ScoredBatch kept;
  for (size_t g = 0; g < batch.scores.size(); ++g) {
    auto& scores = kept.scores.emplace_back(batch.scores[g].size());
    auto& rewards = kept.rewards.emplace_back();
    for (size_t i = 0; i < batch.rewards[g].size(); ++i) {
      if (!batch.rewards[g][i]) continue;
      rewards.push_back(batch.rewards[g][i]);
      for (size_t k = 0; k < scores.size(); ++k) {
        scores[k].push_back(batch.scores[g][k][i]);
      }
    }
  }
  return kept;
}

}  // namespace

// TRL's formula, the batch's mean included, worked out in Python: two groups of three,
// two functions of weights 1 and 0.5.
TEST(NormalizeThenSum, EqualsTrlsRecordedValues) {
  std::vector<FunctionScores> scores = {
      {{0.0, 1.0, 0.5}, {10.0, 0.0, 2.0}}, {{1.0, 1.0, 0.0}, {3.0, 4.0, 4.0}}};
  std::vector<GroupRewards> rewards = {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}};
  std::vector<double> weights = {1.0, 0.5};
  auto advantages = advantages_of_scores(scores, rewards, weights);
  std::vector<double> recorded = {
      -0.6663544574374785,
      0.9572697632041535,
      -0.29091530576667546,
      1.9939341592070042e-16,
      1.3329357322603774,
      -1.3329357322603772};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(advantages[i / 3][i % 3], recorded[i], 1e-12) << i;
  }
}

// What it is for: where sums are equal, sum_then_normalize sees nothing.
TEST(NormalizeThenSum, ParetoOppositesOfOtherScalesTeachSomething) {
  std::vector<FunctionScores> scores = {{{0.0, 1.0, 1.0}, {1.0, 0.0, 1.0}}};
  std::vector<GroupRewards> rewards = {{1.0, 1.0, 2.0}};
  std::vector<double> weights = {1.0, 1.0};
  auto advantages = advantages_of_scores(scores, rewards, weights)[0];
  EXPECT_NEAR(advantages[0], advantages[1], 1e-12);
  EXPECT_GT(advantages[2], 0);
  EXPECT_NEAR(advantages[0] + advantages[1] + advantages[2], 0, 1e-12);
}

TEST(NormalizeThenSum, AGroupWithoutSpreadGetsExactZeros) {
  GroupRewards equal(7, 0.1), rewards(7, 1.0), spread = {0, 1, 0, 1, 0, 1, 1};
  std::vector<FunctionScores> scores = {{equal, equal}, {equal, spread}};
  std::vector<GroupRewards> both = {rewards, rewards};
  std::vector<double> weights = {1.0, 0.5};
  auto advantages = advantages_of_scores(scores, both, weights);
  for (double a : advantages[0]) EXPECT_EQ(a, 0.0);
  for (double a : advantages[1]) EXPECT_NE(a, 0.0);
}

TEST(NormalizeThenSum, AFunctionOfWeightZeroChangesNoBit) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 200; ++trial) {
    auto batch = random_batch(random, 3);
    std::vector<double> three = {1.0, 0.0, 0.3}, two = {1.0, 0.3};
    auto with = advantages_of_scores(batch.scores, batch.rewards, three);
    for (auto& group : batch.scores) group.erase(group.begin() + 1);
    ASSERT_EQ(with, advantages_of_scores(batch.scores, batch.rewards, two));
  }
}

TEST(NormalizeThenSum, UnscoredRowsChangeNoBitOfTheOthers) {
  std::mt19937 random(1);
  std::vector<double> weights = {1.0, 0.2};
  for (int trial = 0; trial < 1000; ++trial) {
    auto with = random_batch(random, 2), without = rewarded_only(with);
    auto a = advantages_of_scores(with.scores, with.rewards, weights);
    auto b = advantages_of_scores(without.scores, without.rewards, weights);
    for (int g = 0; g < 3; ++g) {
      std::vector<double> kept;
      for (size_t i = 0; i < a[g].size(); ++i) {
        if (with.rewards[g][i])
          kept.push_back(a[g][i]);
        else
          ASSERT_EQ(a[g][i], 0.0);
      }
      ASSERT_EQ(kept, b[g]);
    }
  }
}

TEST(Advantage, UnknownNamesAreErrors) {
  EXPECT_EQ(aggregation_of("normalize_then_sum"), Aggregation::normalize_then_sum);
  EXPECT_THROW(aggregation_of("sum"), std::invalid_argument);
  EXPECT_EQ(scale_rewards_of("batch"), ScaleRewards::batch);
  EXPECT_THROW(scale_rewards_of("std"), std::invalid_argument);
}

}  // namespace pupil
