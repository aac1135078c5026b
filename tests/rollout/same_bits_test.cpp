// A row has the same bits alone, among 64, after a prompt that was run in chunks, and
// in the forward that training uses, of dense weights and of packed ones.

#include <gtest/gtest.h>

#include "models/lora.h"
#include "rollout/tiny_sampler.h"

namespace pupil {
namespace {

using testing::expect_same_completions;
using testing::many_prompts;
using testing::sampled;
using testing::sampled_logprobs;
using testing::trained_logprobs;

constexpr int kRows = 32;  // of each of two prompts

class SameBits : public ::testing::TestWithParam<bool> {
 protected:
  SameBits() {
    model.decoder = testing::tiny_decoder_of(mx::float32, GetParam());
    attach_lora(model.decoder, {}, 1);
    auto params = select_parameters(model.decoder, is_lora);
    for (auto& p : params) p = p + 0.02f;
    assign_parameters(model.decoder, params, is_lora);
  }

  std::vector<Prompt> prompts() const {
    auto some = many_prompts(2, 70);
    some[1].tokens.resize(3);
    return some;
  }

  Model model = testing::tiny_model();
};

TEST_P(SameBits, OfARowAloneAndAmong64) {
  auto asked = prompts();
  auto config = sampled(45);
  config.max_rows = 2 * kRows;
  GenerateStats stats;
  auto together = generate(model, asked, kRows, config, {}, &stats);
  EXPECT_EQ(stats.max_rows, 64);
  for (int max_rows : {1, 7, kRows}) {
    config.max_rows = max_rows;
    expect_same_completions(generate(model, asked, kRows, config), together);
  }
}

TEST_P(SameBits, AfterPromptsInChunks) {
  auto asked = prompts();
  auto config = sampled(45);
  config.max_rows = 2 * kRows;
  config.prefill_chunk = 0;
  auto whole = generate(model, asked, kRows, config);
  for (int chunk : {1, 7, 64}) {
    config.prefill_chunk = chunk;
    expect_same_completions(generate(model, asked, kRows, config), whole);
  }
}

TEST_P(SameBits, InTheTrainerAtAnyTemperature) {
  auto asked = prompts();
  for (float temperature : {0.7f, 1.0f, 1.5f}) {
    auto config = sampled(45, temperature);
    config.max_rows = 2 * kRows;
    config.prefill_chunk = 32;
    auto all = generate(model, asked, kRows, config);
    for (size_t p = 0; p < asked.size(); ++p) {
      std::span<const Completion> rows = all[p];
      EXPECT_EQ(
          sampled_logprobs(rows), trained_logprobs(model, asked[p], rows, temperature));
      for (int r = 0; r < kRows; r += 5)
        EXPECT_EQ(
            rows[r].logprobs,
            trained_logprobs(model, asked[p], rows.subspan(r, 1), temperature));
    }
  }
}

// What is told under rules is still the model's own log-probability.
TEST_P(SameBits, InTheTrainerWhateverRulesTokensAreDrawnBy) {
  auto config = sampled(30, 0.7f);
  config.rules = {1.5f, 0.5f, 0.3f, {{9, 2.0f}}, 10};
  config.max_rows = 4;
  auto asked = prompts();
  auto all = generate(model, asked, 6, config);
  for (size_t p = 0; p < asked.size(); ++p) {
    for (const auto& c : all[p]) EXPECT_GE(c.tokens.size(), 10u);
    EXPECT_EQ(
        sampled_logprobs(all[p]), trained_logprobs(model, asked[p], all[p], 0.7f));
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, SameBits, ::testing::Bool(), [](const auto& info) {
  return info.param ? "Packed" : "Dense";
});

}  // namespace
}  // namespace pupil
