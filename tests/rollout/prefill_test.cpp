// Prompts that are run in chunks, beside rows that decode.

#include "rollout/prefill.h"

#include <gtest/gtest.h>

#include <map>

#include "ops/support.h"
#include "rollout/generator.h"
#include "support/golden_families.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::same_bits;

Model tiny_model(uint64_t seed) {
  auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/support/tiny_tokenizer";
  return {testing::tiny_decoder(seed), Tokenizer(folder), {}, folder};
}

// Ids that every model here has.
std::vector<int> some_prompt(int length, int first = 0) {
  std::vector<int> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back(2 + (first + 7 * i) % 30);
  return tokens;
}

// Everything that `prefill` leaves of one prompt, run in chunks.
std::vector<mx::array> run_in_chunks(
    const Decoder& model, const std::vector<std::vector<int>>& prompts, int chunk) {
  Prefill queue(model, chunk);
  for (const auto& prompt : prompts) queue.add(prompt);
  std::vector<mx::array> left;
  size_t ended = 0;
  while (!queue.empty()) {
    for (const auto& prompt : queue.run()) {
      EXPECT_EQ(prompt.cache.length(), std::ssize(prompts.at(ended++)));
      left.push_back(prompt.logits);
      left.insert(left.end(), prompt.cache.k.begin(), prompt.cache.k.end());
      left.insert(left.end(), prompt.cache.v.begin(), prompt.cache.v.end());
    }
    EXPECT_EQ(queue.num_prompts(), std::ssize(prompts) - static_cast<int>(ended));
  }
  return left;
}

TEST(Prefill, ChunksChangeNoBit) {
  auto model = testing::tiny_decoder(3);
  std::vector<std::vector<int>> prompts = {
      some_prompt(5), some_prompt(130, 3), some_prompt(1, 8), some_prompt(64, 4)};
  auto whole = run_in_chunks(model, prompts, 0);
  for (int chunk : {1, 7, 32, 100, 128, 4096}) {
    auto cut = run_in_chunks(model, prompts, chunk);
    ASSERT_EQ(cut.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i)
      EXPECT_TRUE(same_bits(cut[i], whole[i])) << "chunk " << chunk << ", array " << i;
  }
}

// Past a window MLX's operations run, whose sums follow another order.
TEST(Prefill, ChunksChangeOnlyRoundingPastAWindow) {
  for (const char* family : {"mistral_window", "gemma2", "qwen3"}) {
    auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/golden/" + family;
    auto model = load_decoder(folder);
    std::vector<std::vector<int>> prompts = {some_prompt(40), some_prompt(23, 5)};
    auto whole = run_in_chunks(model, prompts, 0);
    for (int chunk : {1, 7, 32}) {
      auto cut = run_in_chunks(model, prompts, chunk);
      for (size_t i = 0; i < whole.size(); ++i)
        EXPECT_LT(distance(cut[i], whole[i]), 5e-5f) << family << ", chunk " << chunk;
    }
  }
}

void expect_same(
    const std::vector<std::vector<Completion>>& a,
    const std::vector<std::vector<Completion>>& b,
    int chunk) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t p = 0; p < a.size(); ++p)
    for (size_t row = 0; row < a[p].size(); ++row) {
      EXPECT_EQ(a[p][row].tokens, b[p][row].tokens) << chunk << ", prompt " << p;
      EXPECT_EQ(a[p][row].logprobs, b[p][row].logprobs) << chunk << ", prompt " << p;
    }
}

TEST(Prefill, CompletionsDoNotDependOnTheChunk) {
  auto model = tiny_model(4);
  std::vector<Prompt> prompts;
  for (int length : {3, 120, 40, 9, 77, 31})
    prompts.push_back({some_prompt(length, length), prompts.size()});
  SamplingConfig config;
  config.max_tokens = 30;
  config.prefill_chunk = 0;
  config.row_limit = [](int prompt, int row) {
    return 4 + (prompt * 7 + row * 11) % 27;
  };
  auto whole = generate(model, prompts, 3, config);
  config.max_rows = 5;  // prompts are run beside others' steps
  for (int chunk : {0, 1, 7, 32, 100}) {
    config.prefill_chunk = chunk;
    expect_same(generate(model, prompts, 3, config), whole, chunk);
  }
}

// Tokens of a row that decodes while the next prompt, of 200 tokens, is run.
int tokens_beside_a_long_prompt(int chunk) {
  auto model = tiny_model(4);
  std::vector<Prompt> prompts = {
      {some_prompt(4), 0}, {some_prompt(5), 1}, {some_prompt(200), 2}};
  SamplingConfig config;
  config.max_tokens = 50;
  config.max_rows = 2;
  config.prefill_chunk = chunk;
  config.row_limit = [](int prompt, int) { return prompt == 0 ? 50 : 3; };
  std::map<int, int> tokens;
  int beside = 0;
  generate(model, prompts, 1, config, [&](int prompt, int, int, bool) {
    ++tokens[prompt];
    beside += prompt == 0 && tokens[1] == 3 && tokens[2] == 0;
  });
  return beside;
}

TEST(Prefill, RowsDecodeBesideALongPrompt) {
  EXPECT_LE(tokens_beside_a_long_prompt(0), 3);
  EXPECT_GE(tokens_beside_a_long_prompt(10), 20);  // one token a chunk
}

}  // namespace
}  // namespace pupil
