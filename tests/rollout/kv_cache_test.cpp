// A cache of keys and values in 8 bits: rows that decode, prompts in chunks and the
// trainer compute the same bits over the same rounded numbers.

#include <gtest/gtest.h>

#include "models/attend.h"
#include "models/lora.h"
#include "ops/support.h"
#include "ops/token_logprobs.h"
#include "rollout/decode_state.h"
#include "rollout/generator.h"
#include "support/tiny_model.h"
#include "train/learner.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::normal;
using ops_test::same_bits;

// Heads of 64 have two groups, of 8 one.
DecoderConfig config_of(int head_dim) {
  auto config = testing::tiny_config();
  config.head_dim = head_dim;
  config.rope_periods.clear();
  for (int i = 0; i < head_dim / 2; ++i)
    config.rope_periods.push_back(std::pow(1e4f, 2.0f * i / head_dim));
  return config;
}

// With an adapter that counts.
Decoder coded_decoder(int head_dim, int kv_bits = 8) {
  auto model = testing::tiny_decoder(3, config_of(head_dim));
  attach_lora(model, {.rank = 3, .scale = 2.0f}, 1);
  for_each_linear(model, [](const std::string&, Linear& linear) {
    linear.lora->b = 0.1f * normal(linear.lora->b.shape(), 14);
  });
  model.kv_bits = kv_bits;
  return model;
}

Model coded_model(int head_dim, int kv_bits = 8) {
  auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/support/tiny_tokenizer";
  return {coded_decoder(head_dim, kv_bits), Tokenizer(folder), {}, folder};
}

std::vector<int> some_prompt(int length, int first = 0) {
  std::vector<int> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back(2 + (first + 7 * i) % 46);
  return tokens;
}

mx::array ids(const std::vector<int>& tokens) {
  return mx::array(tokens.data(), {static_cast<int>(tokens.size())}, mx::int32);
}

// The operations one by one keep rounded numbers as they are: the definition.
TEST(KvCache, CodedPagesHaveTheBitsOfRoundedNumbers) {
  for (int head_dim : {8, 64}) {
    auto model = coded_decoder(head_dim);
    DecodeState fused(model, 250), plain(model, 250, false);
    auto add = [&](std::vector<std::vector<int>> prompts, int n) {
      EXPECT_TRUE(same_bits(fused.add(prompts, n), plain.add(prompts, n)));
    };
    add({some_prompt(3), some_prompt(70, 5), some_prompt(33, 9), some_prompt(32)}, 2);
    for (int step = 0; step < 75; ++step) {
      if (step == 20) add({some_prompt(64)}, 2), add({some_prompt(100)}, 1);
      if (step == 30) fused.keep({0, 2, 3, 9}), plain.keep({0, 2, 3, 9});
      std::vector<int> tokens;
      for (int row = 0; row < fused.num_rows(); ++row)
        tokens.push_back((step + 5 * row) % 48);
      ASSERT_TRUE(same_bits(fused.feed(ids(tokens)), plain.feed(ids(tokens)))) << step;
    }
  }
}

TEST(KvCache, TakesAQuarterOfTheMemoryAndABit) {
  auto bytes = [](int kv_bits) {
    auto model = coded_decoder(64, kv_bits);
    DecodeState state(model, 200);
    state.add({some_prompt(64), some_prompt(128)}, 2);
    for (int step = 0; step < 40; ++step) state.feed(ids({1, 2, 3, 4})).eval();
    return state.cache_bytes();
  };
  EXPECT_EQ(bytes(8) * 256, bytes(0) * 68);  // 64 codes and 2 scales of 2 bytes
  EXPECT_EQ(cache_bytes_per_token(coded_decoder(64)), 2 * 2 * 2 * 68);
}

// Log-probabilities by the forward that training uses.
mx::array trainer_logprobs(
    const Decoder& model, const std::vector<int>& prompt, const Completion& c) {
  int T = static_cast<int>(c.tokens.size());
  auto tokens = mx::reshape(ids(c.tokens), {1, T});
  auto logits = model.head(completion_hidden(model, ids(prompt), tokens, {T}));
  return logprobs_of(logits, ids(c.tokens), 1.0f);
}

TEST(KvCache, ChangesWhatIsSampledALittle) {
  auto prompt = some_prompt(40);
  auto coded = coded_model(64), plain = coded_model(64, 0);
  SamplingConfig config;
  config.max_tokens = 60;
  Prompt asked{prompt, 1};
  auto completion = generate(coded, {&asked, 1}, 1, config)[0][0];
  auto rounded = trainer_logprobs(coded.decoder, prompt, completion);
  auto exact = trainer_logprobs(plain.decoder, prompt, completion);
  EXPECT_GT(distance(rounded, exact), 1e-5f);
  EXPECT_LT(distance(rounded, exact), 0.1f);
}

void expect_same(
    const std::vector<std::vector<Completion>>& a,
    const std::vector<std::vector<Completion>>& b) {
  for (size_t p = 0; p < a.size(); ++p)
    for (size_t row = 0; row < a[p].size(); ++row) {
      EXPECT_EQ(a[p][row].tokens, b[p][row].tokens) << p;
      EXPECT_EQ(a[p][row].logprobs, b[p][row].logprobs) << p;
    }
}

TEST(KvCache, ChunksAndBatchMatesChangeNoBit) {
  auto model = coded_model(64);
  std::vector<Prompt> prompts;
  for (int length : {3, 90, 40, 31})
    prompts.push_back({some_prompt(length, length), prompts.size()});
  SamplingConfig config;
  config.max_tokens = 30;
  config.prefill_chunk = 0;
  auto whole = generate(model, prompts, 3, config);
  config.max_rows = 4;
  for (int chunk : {1, 7, 32, 100}) {
    config.prefill_chunk = chunk;
    expect_same(generate(model, prompts, 3, config), whole);
  }
}

// Rewards of any kind: every other row was good.
RolloutGroup group_of(const Prompt& prompt, const std::vector<Completion>& rows) {
  RolloutGroup group;
  group.prompt = prompt;
  for (const auto& completion : rows) {
    Rollout rollout;
    rollout.completion = completion;
    rollout.reward = group.rollouts.size() % 2 ? 1.0 : 0.0;
    rollout.advantage = group.rollouts.size() % 2 ? 1.0 : -1.0;
    group.rollouts.push_back(rollout);
  }
  return group;
}

// `sampling/sampling_logp_difference/max` of whole steps, the adapter moving.
TEST(KvCache, SamplerAndTrainerAgreeToTheBitStepAfterStep) {
  for (int head_dim : {8, 64}) {
    auto model = coded_model(head_dim);
    std::vector<Prompt> prompts = {
        {some_prompt(5), 1}, {some_prompt(70, 3), 2}, {some_prompt(33), 3}};
    SamplingConfig config;
    config.max_tokens = 45;
    config.max_rows = 5;
    config.prefill_chunk = 16;
    Learner learner(model.decoder, {});
    for (int step = 0; step < 3; ++step) {
      config.seed = step;
      auto all = generate(model, prompts, 4, config);
      std::vector<RolloutGroup> groups;
      for (size_t p = 0; p < prompts.size(); ++p)
        groups.push_back(group_of(prompts[p], all[p]));
      BatchConfig batches;
      auto totals = totals_of(groups, batches);
      for (auto& batch : pack(groups, batches)) {
        auto metrics = learner.forward_backward(batch, totals).metrics;
        EXPECT_GT(metrics.num_sampled, 0);
        EXPECT_EQ(metrics.logp_difference_max, 0.0) << "step " << step;
      }
      EXPECT_GT(learner.optim_step(0.01), 0.0f);
    }
  }
}

TEST(KvCache, IsRefusedWhereRowsDecodeByOperations) {
  auto model = coded_model(8);
  model.decoder.config.layers.assign(2, LayerConfig{.window = 20});
  Prompt prompt{some_prompt(30), 1};
  SamplingConfig config;
  config.max_tokens = 4;
  EXPECT_THROW(generate(model, {&prompt, 1}, 1, config), std::invalid_argument);
  model.decoder.kv_bits = 0;
  EXPECT_EQ(generate(model, {&prompt, 1}, 1, config)[0][0].tokens.size(), 4u);
}

}  // namespace
}  // namespace pupil
