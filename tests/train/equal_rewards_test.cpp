// Groups without spread: what still acts on them.

#include <gtest/gtest.h>

#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

using testing::rows_of;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

void score_equally(std::span<RolloutGroup> groups, const OnScored&) {
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) rollout.reward = 0.5;
  }
}

// The first group of a step has spread, the second none.
void score_half(std::span<RolloutGroup> groups, const OnScored& scored) {
  testing::toy_score(groups);
  score_equally(groups.subspan(1), scored);
}

std::vector<nlohmann::json> metrics_of(ToyRun& run) {
  TempDir dir;
  run.run(dir.path());
  return rows_of(dir.path() / "metrics.jsonl");
}

}  // namespace

TEST(EqualRewards, StillHaveTheEntropyBonus) {
  auto config = toy_config(21);
  config.entropy_coef = 0.1;
  ToyRun run(config);
  run.stages.score = score_equally;
  auto rows = metrics_of(run);
  EXPECT_EQ(rows[0]["frac_reward_zero_std"], 1.0);
  EXPECT_FALSE(rows[0]["skipped"].get<bool>());
  EXPECT_GT(rows[0]["grad_norm"].get<double>(), 1e-4);
  EXPECT_GT(rows[20]["entropy"], rows[0]["entropy"]);
}

TEST(EqualRewards, StillHaveTheKl) {
  auto config = toy_config(21);
  config.beta = 0.5;
  ToyRun run(config);
  metrics_of(run);  // away from the reference
  run.stages.score = score_equally;
  auto rows = metrics_of(run);
  EXPECT_GT(rows[0]["kl"].get<double>(), 1e-3);
  EXPECT_LT(rows[20]["kl"].get<double>(), 0.5 * rows[0]["kl"].get<double>());
}

TEST(EqualRewards, CountWhereTokensAreChosenAndAreLeftOutElsewhere) {
  auto wasted = [](auto&& change) {
    auto config = toy_config(1);
    change(config);
    ToyRun run(config);
    run.stages.score = score_half;
    return metrics_of(run)[0]["rollout/wasted_tokens"].template get<double>();
  };
  EXPECT_EQ(wasted([](auto&) {}), 0.5);
  EXPECT_EQ(wasted([](auto& c) { c.top_entropy_quantile = 0.5; }), 0);
  EXPECT_EQ(wasted([](auto& c) { c.method = "kl_cov"; }), 0);
  EXPECT_EQ(wasted([](auto& c) { c.beta = 0.1; }), 0);
}

// The loss is that of the same step without the bonus, as TRL logs it.
TEST(EntropyBonus, ThePolicyLossIsTheLossWithoutIt) {
  for (double beta : {0.0, 0.1}) {
    auto config = toy_config(1);
    config.method = "reinforce";
    config.beta = beta;
    ToyRun plain(config);
    config.entropy_coef = 0.2;
    ToyRun with_bonus(config);
    auto expected = metrics_of(plain)[0], row = metrics_of(with_bonus)[0];
    EXPECT_FALSE(expected.contains("policy_loss"));
    double loss = expected["loss"].get<double>();
    EXPECT_NEAR(row["policy_loss"].get<double>(), loss, 1e-5);
    EXPECT_LT(row["loss"].get<double>(), loss - 0.1);
  }
}

}  // namespace pupil
