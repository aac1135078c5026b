// Conversions that pack: what is packed how, and what config.json says of it.

#include "models/convert_fixture.h"
#include "models/model.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::has;
using testing::same;
using ConvertPacked = testing::ConvertTest;
namespace fs = std::filesystem;

// MLX moves one end of a group's range onto zero's grid, so the far end may be cut by
// up to a step; every other weight is within half a step.
void expect_packed_close(
    const Checkpoint::Tensors& found,
    const std::string& module,
    const mx::array& original,
    Quantization packing) {
  auto scales = mx::astype(found.at(module + ".scales"), mx::float32);
  auto biases = mx::astype(found.at(module + ".biases"), mx::float32);
  const auto& packed = found.at(module + ".weight");
  auto [group, bits, mode] = packing;
  EXPECT_EQ(packed.dtype(), mx::uint32);
  EXPECT_EQ(packed.shape(-1), original.shape(-1) * bits / 32);
  EXPECT_EQ(scales.shape(-1), original.shape(-1) / group);
  auto weights = mx::dequantize(packed, scales, biases, group, bits);
  auto step = mx::repeat(mx::abs(scales), group, -1);
  auto zeros = mx::zeros_like(scales), ones = mx::ones_like(scales);
  auto codes = mx::dequantize(packed, ones, zeros, group, bits);
  auto at_end =
      mx::logical_or(codes == mx::array(0.0f), codes == mx::array((1 << bits) - 1.0f));
  auto bound = step * mx::where(at_end, mx::array(1.0f), mx::array(0.5f));
  auto excess = mx::max(mx::abs(weights - original) - 1.001f * bound);
  EXPECT_LE(excess.item<float>(), 1e-6f) << module << " " << bits << " " << group;
  auto mean_error = mx::mean(mx::abs(weights - original) / step);
  EXPECT_LT(mean_error.item<float>(), 0.3f);  // 1/4 where the error is uniform
}

TEST_F(ConvertPacked, PackedWeightsAreWithinAStepOfTheOriginal) {
  auto tensors = put();
  for (int bits : {4, 8}) {
    for (int group : {32, 64, 128}) {
      fs::remove_all(to());
      auto wanted = options();
      wanted.quantize = QuantizeRequest{group, bits};
      convert(wanted);
      auto found = written();
      json block = {{"bits", bits}, {"group_size", group}, {"mode", "affine"}};
      EXPECT_EQ(config()["quantization"], block);
      EXPECT_EQ(config()["quantization_config"], block);
      for (const auto& [name, tensor] : tensors) {
        auto module = name.substr(0, name.rfind('.'));
        EXPECT_EQ(found.contains(module + ".scales"), tensor.ndim() == 2) << name;
        if (tensor.ndim() == 2) {
          expect_packed_close(found, module, tensor, {group, bits});
        } else {
          EXPECT_TRUE(same(found.at(name), tensor)) << name;
        }
      }
      EXPECT_FALSE(found.contains("lm_head.weight"));  // tied
      load_decoder(to());
    }
  }
}

TEST_F(ConvertPacked, AnUntiedHeadIsPackedAndATiedOneLeftOut) {
  auto shape = testing::wide_config();
  shape.tied_head = false;
  put(shape);
  auto wanted = options();
  wanted.quantize = QuantizeRequest{64, 4};
  wanted.dtype = mx::bfloat16;
  convert(wanted);
  EXPECT_TRUE(written().contains("lm_head.scales"));
  EXPECT_EQ(written().at("lm_head.scales").dtype(), mx::bfloat16);
  EXPECT_TRUE(load_decoder(to()).lm_head);
  fs::remove_all(to());
  change_config({{"tie_word_embeddings", true}});
  convert(wanted);
  EXPECT_FALSE(written().contains("lm_head.weight"));
  EXPECT_FALSE(load_decoder(to()).lm_head);
}

TEST_F(ConvertPacked, RowsThatDoNotDivideStayDense) {
  auto shape = testing::wide_config();
  shape.intermediate_size = 96;  // the inputs of down_proj
  auto tensors = put(shape);
  auto wanted = options();
  wanted.quantize = QuantizeRequest{64, 4};
  convert(wanted);
  auto name = std::string("model.layers.0.mlp.down_proj.weight");
  EXPECT_TRUE(same(written().at(name), tensors.at(name)));
  load_decoder(to());
}

TEST_F(ConvertPacked, WhatIsDenseInAPackedModelIsPackedAndTheRestStays) {
  auto shape = testing::wide_config();
  shape.intermediate_size = 160;  // no multiple of 64: down_proj stays dense at first
  put(shape);
  auto wanted = options();
  wanted.quantize = QuantizeRequest{64, 4};
  convert(wanted);
  auto before = written();
  fs::remove_all(from());
  fs::rename(to(), from());
  wanted.quantize = QuantizeRequest{.mode = QuantMode::mxfp8};
  convert(wanted);
  auto found = written();
  const std::string module = "model.layers.0.mlp.down_proj";
  EXPECT_EQ(found.at(module + ".scales").dtype(), mx::uint8);
  json block = {{"group_size", 64}, {"bits", 4}, {"mode", "affine"}};
  block[module] = {{"group_size", 32}, {"bits", 8}, {"mode", "mxfp8"}};
  EXPECT_EQ(config()["quantization"], block);
  before.erase(module + ".weight");
  for (const auto& [name, tensor] : before)
    EXPECT_TRUE(same(found.at(name), tensor)) << name;
  load_decoder(to());
}

// Not a copy of 4 bits for who asked for 8, nor one of what is dense anyway.
TEST_F(ConvertPacked, OptionsThatWouldDoNothingAreRefused) {
  put();
  auto wanted = options();
  wanted.dequantize = true;
  EXPECT_TRUE(has(error(wanted), "-d would change nothing: no weight of it is packed"));
  wanted = options();
  wanted.quantize = QuantizeRequest{.bits = 4};
  convert(wanted);
  fs::remove_all(from());
  fs::rename(to(), from());
  wanted.quantize = QuantizeRequest{.bits = 8};
  auto text = error(wanted);
  EXPECT_TRUE(has(text, from().string() + ": -q would change nothing"));
  EXPECT_TRUE(has(
      text,
      R"(packed already with {"bits":4,"group_size":64,"mode":"affine"}; dequantize )"
      "it first (-d)"));
  wanted = options();
  wanted.dequantize = true;
  convert(wanted);
  EXPECT_FALSE(config().contains("quantization"));
}

TEST_F(ConvertPacked, PackingNothingIsRefused) {
  auto shape = testing::tiny_config();  // rows of 32 and 64
  put(shape);
  auto wanted = options();
  wanted.quantize = QuantizeRequest{128, 4};
  EXPECT_TRUE(has(error(wanted), "no matrix has rows that divide into its groups"));
}

TEST_F(ConvertPacked, ShardsOfAnySizeHoldTheSamePackedModel) {
  put();
  auto wanted = options();
  wanted.quantize = QuantizeRequest{.mode = QuantMode::nvfp4};
  convert(wanted);
  auto whole = written();
  fs::remove_all(to());
  wanted.shard_bytes = 20'000;
  convert(wanted);
  EXPECT_GE(model_shards(to()).size(), 3u);
  auto parts = written();
  ASSERT_EQ(parts.size(), whole.size());
  for (const auto& [name, tensor] : whole) EXPECT_TRUE(same(parts.at(name), tensor));
  auto index = read_json_file(to() / "model.safetensors.index.json");
  EXPECT_EQ(index["weight_map"].size(), whole.size());
  load_decoder(to());
}

TEST_F(ConvertPacked, PackingsThatMlxHasNotAreRefused) {
  put();
  auto with = [&](const QuantizeRequest& request) {
    auto wanted = options();
    wanted.quantize = request;
    return error(wanted);
  };
  EXPECT_TRUE(has(with({64, 7}), "expected 2, 3, 4, 5, 6 or 8 bits in groups of 32"));
  EXPECT_TRUE(has(with({16, 4}), "got 4 bits in groups of 16"));
  EXPECT_TRUE(
      has(with({64, 4, QuantMode::mxfp4}), "expected 4 bits in groups of 32 for mode"));
  EXPECT_TRUE(has(
      with({{}, {}, QuantMode::nvfp4, kQuantRecipes[0]}), "expected --q-mode affine"));
}

}  // namespace
}  // namespace pupil
