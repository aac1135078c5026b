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

// Step by step, across growing tails and rows that leave.
void expect_same_steps(const Decoder& model) {
  std::vector<std::vector<int>> prompts = {{1, 2, 3}, {7}, {4, 5, 6, 8, 9}};
  DecodeState fused(model, prompts, 3, 40), plain(model, prompts, 3, 40, false);
  for (int step = 0; step < 40; ++step) {
    if (step == 34) {
      fused.keep({0, 2, 3, 8});
      plain.keep({0, 2, 3, 8});
    }
    std::vector<int> ids;
    for (int row = 0; row < fused.num_rows(); ++row)
      ids.push_back((step + 5 * row) % 48);
    fused.feed(tokens(ids));
    plain.feed(tokens(ids));
    ASSERT_TRUE(same_bits(fused.logits(), plain.logits())) << "step " << step;
  }
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

// What was handed out earlier stays as it was: tails are only written in place where
// nobody else holds them.
TEST(DecodeState, LogitsOfEarlierStepsStay) {
  auto model = full_decoder();
  DecodeState lazy(model, {{1, 2, 3}}, 2, 8), eager(model, {{1, 2, 3}}, 2, 8);
  std::vector<mx::array> late, early;
  for (int step = 0; step < 8; ++step) {
    lazy.feed(tokens({step, step + 1}));
    late.push_back(lazy.logits());
    eager.feed(tokens({step, step + 1}));
    early.push_back(eager.logits());
    mx::eval(early.back());
  }
  for (int step = 7; step >= 0; --step) {
    EXPECT_TRUE(same_bits(late[step], early[step])) << step;
  }
}

}  // namespace
}  // namespace pupil
