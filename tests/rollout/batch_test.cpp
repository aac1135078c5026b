// Rows that share a batch: how many there are, in which memory, and how busy they are.

#include "rollout/batch.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "mlx/device.h"
#include "models/attend.h"
#include "rollout/tiny_sampler.h"

namespace pupil {
namespace {

using testing::expect_same_completions;
using testing::many_prompts;
using testing::sampled;
using testing::tiny_model;

// To the bit, whether prompts wait for rows, for memory or not at all.
TEST(DecodeBatch, WhoHadToWaitGetsTheSameCompletions) {
  auto model = tiny_model(4);
  auto prompts = many_prompts(11);
  auto config = sampled(40);
  config.max_rows = 64;
  GenerateStats all_at_once;
  auto expected = generate(model, prompts, 3, config, {}, &all_at_once);
  EXPECT_EQ(all_at_once.max_rows, 33);
  for (int max_rows : {1, 3, 7, 20}) {
    config.max_rows = max_rows;
    GenerateStats stats;
    expect_same_completions(generate(model, prompts, 3, config, {}, &stats), expected);
    EXPECT_LE(stats.max_rows, max_rows);
  }
  config.max_rows = 128;
  config.cache_bytes = all_at_once.cache_bytes / 2;
  GenerateStats stats;
  expect_same_completions(generate(model, prompts, 3, config, {}, &stats), expected);
  EXPECT_LE(stats.cache_bytes, config.cache_bytes);
  EXPECT_LT(stats.max_rows, 33);
  EXPECT_GT(stats.max_rows, 3);
}

TEST(DecodeBatch, RowsStayBusyAndMemoryIsShared) {
  auto model = tiny_model(4);
  auto config = sampled(150);
  config.max_rows = 64;
  GenerateStats stats;
  auto all = generate(model, many_prompts(64, 60), 8, config, {}, &stats);
  long tokens = 0;
  for (const auto& group : all)
    for (const auto& completion : group) tokens += std::ssize(completion.tokens);
  EXPECT_EQ(stats.row_steps, tokens);
  EXPECT_EQ(stats.max_rows, 64);
  EXPECT_GT(stats.crowded_occupancy(), 0.98);
  EXPECT_GT(stats.crowded_steps, 100);
  EXPECT_GT(stats.occupancy(), 0.6);
  EXPECT_LT(static_cast<double>(stats.cache_bytes), 0.6 * stats.unshared_bytes);
}

// A place is free for no longer than a step, though a prompt's rows end one by one.
TEST(DecodeBatch, RowsOfAPromptJoinOneByOne) {
  auto model = tiny_model(4, {});
  auto config = sampled(60);
  config.max_rows = 12;
  config.row_limit = [](int prompt, int row) {
    return 5 + (prompt * 13 + row * 31) % 56;
  };
  GenerateStats stats;
  auto all = generate(model, many_prompts(30), 8, config, {}, &stats);
  for (int p = 0; p < 30; ++p)
    for (int row = 0; row < 8; ++row)
      EXPECT_EQ(std::ssize(all[p][row].tokens), config.row_limit(p, row));
  EXPECT_EQ(stats.max_rows, 12);
  EXPECT_GT(stats.crowded_occupancy(), 0.97);
  EXPECT_GT(stats.longest_gap_s, 0);
  EXPECT_LE(stats.longest_gap_s, stats.decode_s);
}

// Room for `rows` rows of one prompt of 40 tokens.
int64_t budget_for(const Model& model, int rows, int max_tokens) {
  int64_t row = max_tokens + 2 * cpu::kPageTokens;
  return (40 + rows * row) * cache_bytes_per_token(model.decoder);
}

TEST(DecodeBatch, ABudgetHoldsBackTheRowsOfOnePrompt) {
  auto model = tiny_model(4);
  auto prompt = many_prompts(1, 40);
  auto config = sampled(40);
  auto expected = generate(model, prompt, 32, config);
  for (int rows : {8, 3, 1}) {
    config.cache_bytes = budget_for(model, rows, config.max_tokens);
    GenerateStats stats;
    expect_same_completions(generate(model, prompt, 32, config, {}, &stats), expected);
    EXPECT_EQ(stats.max_rows, rows);
    EXPECT_LE(stats.cache_bytes, config.cache_bytes);
  }
}

TEST(DecodeBatch, OneRowRunsHoweverSmallTheBudgetIs) {
  auto model = tiny_model(4);
  auto prompts = many_prompts(3);
  auto config = sampled(20);
  auto expected = generate(model, prompts, 4, config);
  config.cache_bytes = 1;
  GenerateStats stats;
  expect_same_completions(generate(model, prompts, 4, config, {}, &stats), expected);
  EXPECT_EQ(stats.max_rows, 1);
}

// Lengths as different as those of answers, and the number of rows left open.
TEST(DecodeBatch, NineOfTenPlacesAreBusyOverAWholeRolloutOnACpu) {
  if (mx::default_device() == mx::Device::gpu) GTEST_SKIP() << "64 rows on a GPU";
  auto shape = testing::tiny_config();
  shape.max_positions = 512;
  auto model = tiny_model(4, {});
  model.decoder = testing::tiny_decoder(4, shape);
  auto config = sampled(256);
  config.row_limit = [](int prompt, int row) {
    auto p = static_cast<uint64_t>(prompt), r = static_cast<uint64_t>(row);
    return 16 + static_cast<int>(keyed_bits({0, p, r}) % 241);
  };
  GenerateStats stats;
  generate(model, many_prompts(64, 60), 8, config, {}, &stats);
  EXPECT_EQ(stats.max_rows, 32);
  EXPECT_GT(stats.occupancy(), 0.9);
}

// The prompt of rows that are alone is theirs anyway.
TEST(DecodeBatch, TellsWhatItsPromptsWouldTakeInEachRow) {
  auto model = tiny_model(4, {});
  auto config = sampled(20);
  GenerateStats alone, shared;
  generate(model, many_prompts(5, 64), 1, config, {}, &alone);
  EXPECT_EQ(alone.copied_bytes, alone.cache_bytes);
  generate(model, many_prompts(1, 64), 5, config, {}, &shared);
  auto prompt = 64 * cache_bytes_per_token(model.decoder);
  EXPECT_EQ(shared.copied_bytes, shared.cache_bytes + 4 * prompt);
}

TEST(DecodeBatch, TellsOfEachChunkOfPromptsThatOthersFollow) {
  auto model = tiny_model(4);
  auto config = sampled(10);
  config.prefill_chunk = 10;
  std::vector<int64_t> told;
  auto on_prefill = [&](int64_t tokens) { told.push_back(tokens); };
  // 20 to 24 tokens
  generate(model, many_prompts(5), 2, config, {}, nullptr, {}, on_prefill);
  EXPECT_EQ(told, (std::vector<int64_t>{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}));
}
}  // namespace
}  // namespace pupil
