#include "train/evaluation.h"

#include <gtest/gtest.h>

namespace pupil {

namespace {

// One task; sample i has the i-th score of the tests, or none.
Evaluation evaluation_of(const std::vector<std::optional<double>>& scores) {
  Stages stages;
  stages.reward_names = {"tests"};
  stages.generate = [](std::span<RolloutGroup> groups, int n, const SamplingEvents&) {
    for (auto& group : groups) group.rollouts.resize(n);
  };
  stages.score = [&](std::span<RolloutGroup> groups, const OnScored&) {
    for (size_t i = 0; i < scores.size(); ++i)
      groups[0].rollouts[i].scores = {{scores[i], ""}};
  };
  SamplingPlan plan{static_cast<int>(scores.size()), 4};
  return evaluate(std::vector<RolloutGroup>(1), stages, plan);
}

nlohmann::ordered_json row_of(const std::vector<std::optional<double>>& scores) {
  return eval_row(evaluation_of(scores), 10);
}

}  // namespace

TEST(Evaluation, TellsPassAtEveryPowerOfTwoAndAtAll) {
  auto row = row_of({1, 0, 0.5, 1, 0, 0});  // 2 of 6 pass
  EXPECT_NEAR(row["eval_pass@1"].get<double>(), 2.0 / 6, 1e-12);
  EXPECT_NEAR(row["eval_pass@2"].get<double>(), 1 - 6.0 / 15, 1e-12);
  EXPECT_NEAR(row["eval_pass@4"].get<double>(), 1 - 1.0 / 15, 1e-12);
  EXPECT_EQ(row["eval_pass@6"], 1.0);
  EXPECT_FALSE(row.contains("eval_pass@8"));
  EXPECT_EQ(row_of({1, 0}).at("eval_pass@2"), 1.0);
}

TEST(Evaluation, ASampleWithoutAScoreIsNoFailure) {
  auto row = row_of({1, std::nullopt, 0, 0});  // 1 of 3
  EXPECT_NEAR(row["eval_pass@1"].get<double>(), 1.0 / 3, 1e-12);
  EXPECT_NEAR(row["eval_pass@2"].get<double>(), 2.0 / 3, 1e-12);
  EXPECT_TRUE(row["eval_pass@4"].is_null());  // nobody knows
}

}  // namespace pupil
