// What a policy step takes beside what was planned before it, and what sharing a prompt
// saves, on shapes of real models.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

json policy_step(const TinyWorld& world, const std::string& sizes, int runs = 1) {
  auto run = world.run(
      "bench --only-step --json --runs " + std::to_string(runs) + " " + sizes);
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  return run.exit_code == 0 ? json::parse(run.output).at("grpo_step") : json();
}

class MemoryPlan : public ::testing::TestWithParam<const char*> {};

TEST_P(MemoryPlan, IsWithinAFifthOfThePeak) {
  TinyWorld world;
  auto step = policy_step(world, GetParam());
  double planned = step.at("planned_mb"), peak = step.at("peak_mb");
  std::printf("%s: planned %.0f MB, peak %.0f MB\n", GetParam(), planned, peak);
  EXPECT_NEAR(planned / peak, 1, 0.2);
}

constexpr const char* kSizes[] = {
    "--shape smollm2-135m",
    "--shape smollm2-135m --rows 2 --prompt-tokens 64 --new-tokens 32",
    "--shape smollm2-135m --prompt-tokens 512",
    "--shape smollm2-135m --prompt-tokens 512 --unshared",
    "--shape smollm2-135m --new-tokens 256 --gradient-checkpointing off",
    "--shape smollm2-135m --new-tokens 256 --gradient-checkpointing on",
    "--shape qwen2.5-0.5b",
};
INSTANTIATE_TEST_SUITE_P(Sizes, MemoryPlan, ::testing::ValuesIn(kSizes));

TEST(SharedPrompt, SavesTwoThirdsOfTheUpdate) {
  TinyWorld world;
  const std::string sizes = "--shape smollm2-135m --prompt-tokens 512 --new-tokens 64";
  double shared = policy_step(world, sizes, 3).at("update_s");
  double alone = policy_step(world, sizes + " --unshared", 3).at("update_s");
  std::printf("update %.2f s, unshared %.2f s\n", shared, alone);
  EXPECT_GE(alone / shared, 3);
}

}  // namespace
}  // namespace pupil::testing
