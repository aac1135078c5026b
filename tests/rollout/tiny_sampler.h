// A tiny random model to sample from, prompts for it, and completions compared.

#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "models/attend.h"
#include "ops/host_values.h"
#include "ops/token_logprobs.h"
#include "rollout/generator.h"
#include "support/tiny_model.h"

namespace pupil::testing {

inline constexpr int kEos = 1;

inline Model tiny_model(uint64_t seed = 0, std::vector<int> eos = {kEos}) {
  auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/support/tiny_tokenizer";
  return {tiny_decoder(seed), Tokenizer(folder), std::move(eos), folder};
}

inline std::vector<Prompt> some_prompts() {
  return {{{5, 6, 7}, 10}, {{9}, 11}, {{20, 21, 22, 23, 24, 25, 26}, 12}};
}

inline SamplingConfig sampled(int max_tokens, float temperature = 1.0f) {
  SamplingConfig config;
  config.truncation.temperature = temperature;
  config.max_tokens = max_tokens;
  config.seed = 3;
  return config;
}

inline std::vector<Prompt> many_prompts(int count, int least = 20) {
  std::vector<Prompt> prompts;
  for (int p = 0; p < count; ++p) {
    prompts.push_back({{}, static_cast<uint64_t>(p)});
    for (int i = 0; i < least + p % 30; ++i)
      prompts.back().tokens.push_back(2 + (p + 7 * i) % 46);
  }
  return prompts;
}

/// To the bit.
inline void expect_same_completions(
    const std::vector<std::vector<Completion>>& a,
    const std::vector<std::vector<Completion>>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t p = 0; p < a.size(); ++p) {
    ASSERT_EQ(a[p].size(), b[p].size());
    for (size_t row = 0; row < a[p].size(); ++row) {
      EXPECT_EQ(a[p][row].tokens, b[p][row].tokens);
      EXPECT_EQ(a[p][row].logprobs, b[p][row].logprobs);
      EXPECT_EQ(a[p][row].finish, b[p][row].finish);
    }
  }
}

/// Of all tokens of these rows, one row after the other.
inline std::vector<float> sampled_logprobs(std::span<const Completion> rows) {
  std::vector<float> all;
  for (const auto& c : rows)
    all.insert(all.end(), c.logprobs.begin(), c.logprobs.end());
  return all;
}

/// The same as training computes them, the rows of a group side by side.
inline std::vector<float> trained_logprobs(
    const Model& model,
    const Prompt& prompt,
    std::span<const Completion> rows,
    float temperature = 1.0f) {
  std::vector<int> lengths, flat;
  for (const auto& c : rows) lengths.push_back(static_cast<int>(c.tokens.size()));
  int width = std::ranges::max(lengths), count = static_cast<int>(rows.size());
  std::vector<int> table(static_cast<size_t>(count) * width);  // right padded
  for (int r = 0; r < count; ++r) {
    const auto& tokens = rows[r].tokens;
    std::ranges::copy(tokens, table.begin() + r * width);
    flat.insert(flat.end(), tokens.begin(), tokens.end());
  }
  auto hidden = completion_hidden(
      model.decoder,
      int_array(prompt.tokens),
      mx::array(table.data(), {count, width}, mx::int32),
      lengths);
  auto head = [&](const mx::array& x) { return model.decoder.head(x); };
  return host_values(
      token_logprobs(hidden, int_array(flat), head, temperature).logprobs);
}

}  // namespace pupil::testing
