// Rows of every family's tiny model: the same bits alone, among 64, after a prompt in
// chunks and in the forward of training.

#include <gtest/gtest.h>

#include "rollout/tiny_sampler.h"
#include "support/golden_families.h"

namespace pupil {
namespace {

using testing::expect_same_completions;
using testing::sampled;
using testing::sampled_logprobs;
using testing::trained_logprobs;

constexpr int kRows = 32, kNewTokens = 30;

class FamilyBits : public ::testing::TestWithParam<std::string> {
 protected:
  FamilyBits() {
    model.decoder =
        load_decoder(std::string(PUPIL_SOURCE_DIR) + "/tests/golden/" + GetParam());
    for (int length : {20, 3}) {
      prompts.push_back({{}, prompts.size()});
      for (int i = 0; i < length; ++i)
        prompts.back().tokens.push_back(2 + (7 * i + length) % 30);
    }
  }

  // Past a window or with a soft cap MLX's operations add, in an order of their own;
  // everything else of a block has one order.
  void lift_windows_and_caps() {
    auto& config = model.decoder.config;
    config.attention_cap = 0;
    for (auto& layer : config.layers) layer.window = 0;
  }

  Model model = testing::tiny_model(0, {});
  std::vector<Prompt> prompts;
};

TEST_P(FamilyBits, AreTheSameWhoeverIsBeside) {
  lift_windows_and_caps();
  auto config = sampled(kNewTokens);
  config.max_rows = 2 * kRows;
  GenerateStats stats;
  auto together = generate(model, prompts, kRows, config, {}, &stats);
  EXPECT_EQ(stats.max_rows, 2 * kRows);
  config.prefill_chunk = 7;
  expect_same_completions(generate(model, prompts, kRows, config), together);
  config.max_rows = 1;
  expect_same_completions(generate(model, prompts, kRows, config), together);
}

TEST_P(FamilyBits, AreThoseOfTraining) {
  lift_windows_and_caps();
  auto config = sampled(kNewTokens);
  config.max_rows = 2 * kRows;
  auto all = generate(model, prompts, kRows, config);
  for (size_t p = 0; p < prompts.size(); ++p)
    EXPECT_EQ(sampled_logprobs(all[p]), trained_logprobs(model, prompts[p], all[p]));
}

TEST_P(FamilyBits, AreThoseOfTrainingToRoundingPastWindowsAndWithCaps) {
  auto all = generate(model, prompts, kRows, sampled(kNewTokens));
  for (size_t p = 0; p < prompts.size(); ++p) {
    auto sampled = sampled_logprobs(all[p]);
    auto trained = trained_logprobs(model, prompts[p], all[p]);
    ASSERT_EQ(sampled.size(), trained.size());
    for (size_t i = 0; i < sampled.size(); ++i)
      EXPECT_NEAR(sampled[i], trained[i], 5e-5f) << "prompt " << p << ", token " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Families, FamilyBits, ::testing::ValuesIn(testing::all_families()));

}  // namespace
}  // namespace pupil
