#include "rollout/decode_state.h"

#include <gtest/gtest.h>

#include "models/lora.h"
#include "ops/support.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

using ops_test::normal;
using ops_test::same_bits;

// The tiny model with what a layer may have besides: biases, and an adapter that
// counts.
Decoder full_decoder() {
  auto config = testing::tiny_config();
  config.attention_bias = true;
  auto tensors = testing::tiny_tensors(config, 0);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    auto scope = "model.layers." + std::to_string(layer) + ".self_attn.";
    tensors.emplace(scope + "q_proj.bias", normal({32}, 11));
    tensors.emplace(scope + "k_proj.bias", normal({16}, 12));
    tensors.emplace(scope + "v_proj.bias", normal({16}, 13));
  }
  Decoder model(Checkpoint(std::move(tensors), {}, "tiny"), config, mx::float32);
  attach_lora(model, {.rank = 3, .scale = 2.0f}, 1);
  for_each_linear(model, [](const std::string&, Linear& linear) {
    linear.lora->b = 0.1f * normal(linear.lora->b.shape(), 14);
  });
  return model;
}

mx::array tokens(const std::vector<int>& ids) {
  return mx::array(ids.data(), {static_cast<int>(ids.size())}, mx::int32);
}

std::vector<int> some_prompt(int length) {
  std::vector<int> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back((3 + 7 * i) % 48);
  return prompt;
}

// Step by step, across pages and growing tails, rows that leave and prompts that join.
void expect_same_steps(const Decoder& model) {
  DecodeState fused(model, 200), plain(model, 200, false);
  EXPECT_TRUE(fused.moves_nothing());
  auto for_both = [&](auto&& change) {
    auto a = change(fused), b = change(plain);
    ASSERT_TRUE(same_bits(a, b));
  };
  auto add = [&](std::vector<std::vector<int>> prompts, int n) {
    for_both([&](DecodeState& state) { return state.add(prompts, n); });
  };
  add({{1, 2, 3}, {7}, {4, 5, 6, 8, 9}}, 3);
  for (int step = 0; step < 80; ++step) {
    if (step == 34) fused.keep({0, 2, 3, 8}), plain.keep({0, 2, 3, 8});
    if (step == 20) add({some_prompt(31)}, 2);
    if (step == 36) add({some_prompt(64), some_prompt(40)}, 1);
    if (step == 70) fused.keep({}), plain.keep({}), add({some_prompt(2)}, 2);
    std::vector<int> ids;
    for (int row = 0; row < fused.num_rows(); ++row)
      ids.push_back((step + 5 * row) % 48);
    for_both([&](DecodeState& state) { return state.feed(tokens(ids)); });
  }
}

// What a row computes does not depend on who else is there, nor on when it came.
TEST(DecodeState, ARowHasTheSameBitsAloneAndAmongOthers) {
  auto model = full_decoder();
  for (int length : {1, 31, 32, 33, 64, 90}) {
    DecodeState busy(model, 200), alone(model, 200);
    busy.add({{1, 2, 3}, some_prompt(50)}, 2);
    for (int step = 0; step < 5; ++step) busy.feed(tokens({1, 2, 3, 4}));
    auto first = busy.add({some_prompt(length)}, 1);
    EXPECT_TRUE(same_bits(first, alone.add({some_prompt(length)}, 1)));
    for (int step = 0; step < 70; ++step) {
      if (step == 10) busy.keep({1, 4});
      int row = busy.num_rows() - 1;
      std::vector<int> ids(row, 9);
      ids.push_back(step % 48);
      auto among = mx::slice(busy.feed(tokens(ids)), {row, 0}, {row + 1, 48});
      ASSERT_TRUE(same_bits(among, alone.feed(tokens({step % 48}))))
          << "prompt of " << length << ", step " << step;
    }
  }
}

// Rows that end give their pages back, and a prompt its keys with its last row.
TEST(DecodeState, HoldsWhatIsInUse) {
  auto model = full_decoder();
  const auto& c = model.config;
  DecodeState state(model, 200);
  state.add({some_prompt(10), some_prompt(40)}, 2);
  int64_t prompts = state.cache_bytes();
  int64_t page = 2 * 4 * c.num_layers * c.num_kv_heads * c.head_dim * cpu::kPageTokens;
  for (int step = 0; step < 30; ++step) mx::eval(state.feed(tokens({1, 2, 3, 4})));
  EXPECT_EQ(state.cache_bytes(), prompts + 2 * 2 * page + 2 * 2 * page);
  state.keep({0, 2, 3});
  EXPECT_EQ(state.cache_bytes(), prompts + 3 * 2 * page);
  state.keep({});
  EXPECT_EQ(state.cache_bytes(), 0);
}

TEST(DecodeState, AFusedStepHasTheBitsOfItsOperations) {
  expect_same_steps(full_decoder());
}

TEST(DecodeState, TheSameForPackedWeights) {
  auto config = testing::tiny_config();
  auto tensors = testing::tiny_tensors(config, 0);
  Checkpoint::Tensors packed;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.ndim() == 1) {
      packed.emplace(name, tensor);
      continue;
    }
    auto parts = mx::quantize(tensor, 32, 4);
    auto scope = name.substr(0, name.rfind(".weight"));
    packed.emplace(name, parts[0]);
    packed.emplace(scope + ".scales", mx::astype(parts[1], mx::float16));
    packed.emplace(scope + ".biases", mx::astype(parts[2], mx::float16));
  }
  Checkpoint checkpoint(std::move(packed), {{"", {32, 4}}}, "tiny");
  expect_same_steps(Decoder(std::move(checkpoint), config, mx::float32));
}

// Each linear of a block in a format of its own.
TEST(DecodeState, TheSameForEveryMode) {
  const std::map<std::string, Quantization> modes = {
      {"self_attn.q_proj", {32, 3}},
      {"self_attn.k_proj", {32, 6}},
      {"self_attn.v_proj", {32, 4, QuantMode::mxfp4}},
      {"self_attn.o_proj", {16, 4, QuantMode::nvfp4}},
      {"mlp.gate_proj", {32, 8, QuantMode::mxfp8}},
      {"mlp.up_proj", {32, 4}},
      {"mlp.down_proj", {32, 2}}};
  auto config = testing::tiny_config();
  auto tensors = testing::tiny_tensors(config, 0);
  Packings packings = {{"", {32, 4}}};
  for (int layer = 0; layer < config.num_layers; ++layer)
    for (const auto& [name, packing] : modes) {
      auto module = "model.layers." + std::to_string(layer) + "." + name;
      auto weight = ops_test::quantized(tensors.at(module + ".weight"), packing);
      tensors.insert_or_assign(module + ".weight", weight.packed);
      tensors.emplace(module + ".scales", weight.scales);
      if (weight.biases) tensors.emplace(module + ".biases", *weight.biases);
      packings[module] = packing;
    }
  Checkpoint checkpoint(std::move(tensors), packings, "tiny");
  expect_same_steps(Decoder(std::move(checkpoint), config, mx::float32));
}

// What was handed out earlier stays as it was, in whichever order it is asked for.
TEST(DecodeState, LogitsOfEarlierStepsStay) {
  auto model = full_decoder();
  DecodeState lazy(model, 20), eager(model, 20);
  lazy.add({{1, 2, 3}}, 2);
  eager.add({{1, 2, 3}}, 2);
  std::vector<mx::array> late, early;
  for (int step = 0; step < 8; ++step) {
    late.push_back(lazy.feed(tokens({step, step + 1})));
    early.push_back(eager.feed(tokens({step, step + 1})));
    mx::eval(early.back());
  }
  for (int step = 7; step >= 0; --step) {
    EXPECT_TRUE(same_bits(late[step], early[step])) << step;
  }
}

}  // namespace
}  // namespace pupil
