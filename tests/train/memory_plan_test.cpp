// The memory plan of a step: what follows from the sizes. Beside measured peaks it is
// tested on real shapes in app/memory_plan_long_test.cpp.

#include "train/memory_plan.h"

#include <gtest/gtest.h>

#include "support/tiny_model.h"

namespace pupil::testing {
namespace {

constexpr int64_t kPlenty = int64_t{1} << 60;

StepSizes some_sizes() {
  return {
      .decoding_rows = 8,
      .decoding_prompts = 1,
      .group_rows = 8,
      .prompt_tokens = 100,
      .new_tokens = 50,
      .microbatch_tokens = 4096};
}

class MemoryPlanOfAToy : public ::testing::Test {
 protected:
  MemoryPlan plan(std::optional<bool> recompute = {}, int64_t budget = kPlenty) {
    return plan_memory(model_, sizes_, 1000, 5000, recompute, budget);
  }
  Decoder model_ = tiny_decoder();
  StepSizes sizes_ = some_sizes();
};

TEST_F(MemoryPlanOfAToy, ThePeakIsTheLargerOfSamplingAndLearning) {
  auto p = plan();
  EXPECT_EQ(p.peak(), 6000 + std::max(p.sampling, p.activations));
  EXPECT_GE(p.activations, 500u * model_.kept_bytes_per_token());
}

TEST_F(MemoryPlanOfAToy, AProcessThatSamplesHoldsAsMuchAgainBesideTheLearner) {
  auto p = plan();
  p.samples_apart = true;
  EXPECT_EQ(p.peak(), 11000 + p.sampling + p.activations);
}

TEST_F(MemoryPlanOfAToy, BlocksRunAgainWhereTheyDoNotFit) {
  EXPECT_FALSE(plan().recomputes);
  auto small = plan({}, 499 * model_.kept_bytes_per_token());
  EXPECT_TRUE(small.recomputes);
  EXPECT_LT(small.activations, plan(false).activations);
  EXPECT_FALSE(plan(false, 1).recomputes);
  EXPECT_TRUE(plan(true).recomputes);
}

TEST_F(MemoryPlanOfAToy, AMicrobatchIsNeverLessThanOneCompletion) {
  sizes_.microbatch_tokens = 1;
  auto least = plan();
  sizes_.microbatch_tokens = 150;
  EXPECT_EQ(least.activations, plan().activations);
  sizes_.microbatch_tokens = 151;
  EXPECT_LT(least.activations, plan().activations);
}

TEST_F(MemoryPlanOfAToy, ThePlanChoosesTheMicrobatch) {
  sizes_.new_tokens = 2000;  // 16100 tokens in all
  EXPECT_EQ(fitting_microbatch(model_, sizes_, {}, kPlenty), 16384);
  auto half = 9000 * model_.kept_bytes_per_token();
  int chosen = fitting_microbatch(model_, sizes_, {}, half);
  EXPECT_LT(chosen, 16384);
  sizes_.microbatch_tokens = chosen;
  EXPECT_LE(plan(false).activations, static_cast<uint64_t>(half));
  sizes_.microbatch_tokens = 2 * chosen;
  EXPECT_GT(plan(false).activations, static_cast<uint64_t>(half));
}

}  // namespace
}  // namespace pupil::testing
