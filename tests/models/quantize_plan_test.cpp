// What some families pack otherwise than asked, as mlx-lm's do.

#include "models/quantize_plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pupil {
namespace {

using nlohmann::json;

constexpr Quantization kEightBits = {64, 8, QuantMode::affine};
constexpr Quantization kAsked = {32, 4, QuantMode::affine};
const std::string kLayer = "model.layers.0.";

TEST(QuantizePlan, RoutersAndSmallInputsGetEightBits) {
  QuantizeRequest request{.group_size = 32, .bits = 4};
  QuantizePlan granite(request, "granite", 2), experts(request, "qwen3_moe", 2),
      llama(request, "llama", 2);
  mx::Shape shape = {64, 128};
  for (const char* module : {"self_attn.o_proj", "mlp.down_proj"}) {
    EXPECT_EQ(granite.packing(kLayer + module, shape), kEightBits) << module;
    EXPECT_EQ(llama.packing(kLayer + module, shape), kAsked) << module;
  }
  EXPECT_EQ(granite.packing("lm_head", shape), kEightBits);
  EXPECT_EQ(granite.packing(kLayer + "mlp.up_proj", shape), kAsked);
  EXPECT_EQ(experts.packing(kLayer + "mlp.gate", shape), kEightBits);
  EXPECT_EQ(experts.packing(kLayer + "mlp.gate_proj", shape), kAsked);
  EXPECT_EQ(experts.packing(kLayer + "mlp.gate", {4, 32}), std::nullopt);
}

TEST(QuantizePlan, TheirEntriesSayNoMode) {
  QuantizePlan plan({.group_size = 32, .bits = 4}, "qwen3_moe", 2);
  auto block = plan.block(nullptr, {kLayer + "mlp.gate", kLayer + "mlp.gate_proj"});
  json expected = {
      {"group_size", 32},
      {"bits", 4},
      {"mode", "affine"},
      {kLayer + "mlp.gate", {{"group_size", 64}, {"bits", 8}}}};
  EXPECT_EQ(block, expected);
}

TEST(QuantizePlan, ARecipeSaysItAll) {
  QuantizePlan plan({.recipe = kQuantRecipes[3]}, "granite", 8);
  auto packing = plan.packing(kLayer + "self_attn.o_proj", {64, 128});
  ASSERT_TRUE(packing);
  EXPECT_EQ(packing->bits, 4);
}

}  // namespace
}  // namespace pupil
