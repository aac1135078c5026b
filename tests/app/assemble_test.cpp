// From the config to the parts of a run: what excludes each other, what is planned.

#include "app/assemble.h"

#include <gtest/gtest.h>

#include "app/memory_report.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

Config normalising(const std::string& method) {
  Config config;
  config.train.method = method;
  config.reward.aggregation = "normalize_then_sum";
  return config;
}

TEST(Resolved, NormalizeThenSumRefusesWhatItHasNoPlaceFor) {
  auto refused = [](const Config& config) {
    return refusal([&] { resolved(config); });
  };
  EXPECT_TRUE(
      has(refused(normalising("rloo")),
          "[config] reward.aggregation: normalize_then_sum has no KL in the reward"));
  EXPECT_TRUE(has(refused(normalising("reinforce_pp")), "set train.kl_in_reward"));
  EXPECT_TRUE(has(refused(normalising("plain")), "has no train.baseline running"));
  auto config = normalising("grpo");
  config.train.kl_in_reward = true;  // of a KL that there is not
  EXPECT_EQ(refused(config), "accepted");
  config.train.beta = 0.1;
  EXPECT_TRUE(has(refused(config), "KL in the reward"));
  EXPECT_EQ(refused(normalising("online_dpo")), "accepted");
  EXPECT_EQ(refused(normalising("sft")), "accepted");  // nothing is rewarded
}

// Before a run directory is made, which would be in the way of the corrected command.
TEST(Resolved, AnOptimizersKeysMustFitIt) {
  Config config;
  config.train.optim = "sgd";
  config.train.adam_beta1 = 0.9f;
  EXPECT_TRUE(has(refusal([&] { resolved(config); }), "train.adam_beta1"));
}

StepSizes sizes_of_lessons(bool packing, const std::string& method = "sft") {
  TinyWorld world;
  world.write(
      "lessons.jsonl",
      "{\"prompt\": \"f a\", \"completion\": \"a b\", \"chosen\": \"a\", "
      "\"rejected\": \"b\"}\n");
  Config config;
  config.hardware.mlx_model_path = world.at("model").string();
  config.data.train = world.at("lessons.jsonl").string();
  config.data.packing = packing;
  config.train.method = method;
  config.train.prompts_per_step = 3;
  config.train.steps_per_generation = 2;
  return step_sizes(Session(config));
}

TEST(StepSizesOfLessons, PackedLinesShareAPass) {
  EXPECT_EQ(sizes_of_lessons(false).group_rows, 1);
  EXPECT_EQ(sizes_of_lessons(true).group_rows, 3);
  EXPECT_EQ(sizes_of_lessons(true, "dpo").group_rows, 2);
}

}  // namespace
}  // namespace pupil::testing
