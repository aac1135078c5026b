// A model with packed weights equals the one with its weights unpacked by MLX: logits,
// log-probabilities' gradient of an adapter, rows of the table; in every mode.

#include <gtest/gtest.h>

#include "models/attend.h"
#include "models/lora.h"
#include "models/model.h"
#include "ops/token_logprobs.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

using testing::has;

const std::vector<Quantization> kPackings = {
    {32, 2},
    {64, 2},
    {64, 3},
    {128, 3},
    {32, 4},
    {64, 4},
    {32, 5},
    {128, 5},
    {64, 6},
    {128, 6},
    {64, 8},
    {32, 4, QuantMode::mxfp4},
    {32, 8, QuantMode::mxfp8},
    {16, 4, QuantMode::nvfp4}};

std::string text_of(const Quantization& p) {
  return mode_name(p.mode) + "_" + std::to_string(p.bits) + "_" +
         std::to_string(p.group_size);
}

// A model's tensors, packed and unpacked again.
struct Pair {
  Checkpoint::Tensors packed, dense;
};

void pack(Pair& pair, const std::string& module, const Quantization& packing) {
  auto [group, bits, mode] = packing;
  auto name = module + ".weight";
  auto parts = mx::quantize(pair.dense.at(name), group, bits, mode_name(mode));
  std::optional<mx::array> biases;
  if (parts.size() > 2) biases = parts[2];
  auto dense = mx::dequantize(parts[0], parts[1], biases, group, bits, mode_name(mode));
  pair.dense.insert_or_assign(name, mx::astype(dense, mx::float32));
  pair.packed.insert_or_assign(name, parts[0]);
  pair.packed.insert_or_assign(module + ".scales", parts[1]);
  if (biases) pair.packed.insert_or_assign(module + ".biases", *biases);
}

Pair packed_tensors(const DecoderConfig& config, const Packings& packings) {
  auto tensors = testing::tiny_tensors(config, 7);
  Pair pair{tensors, tensors};
  for (const auto& [name, tensor] : tensors) {
    auto module = name.substr(0, name.rfind('.'));
    auto packing = *packing_of(packings, module);
    if (tensor.ndim() == 2 && packing != kDense) pack(pair, module, packing);
  }
  return pair;
}

Decoder decoder_of(
    const Checkpoint::Tensors& tensors, const Packings& packings, bool tied) {
  auto config = testing::wide_config();
  config.tied_head = tied;
  Checkpoint checkpoint(tensors, packings, "tiny");
  checkpoint.expect_packed();
  return Decoder(std::move(checkpoint), config, mx::float32);
}

mx::array tokens() {
  return mx::random::randint(0, 48, {2, 9}, mx::int32, mx::random::key(3));
}

mx::array logits_of(const Decoder& model) {
  auto hidden = sequence_hidden(model, tokens());
  return model.head(mx::reshape(hidden, {-1, model.config.hidden_size}));
}

// Of the sum of token log-probabilities, with respect to each adapter's arrays.
std::vector<mx::array> adapter_gradients(Decoder model) {
  attach_lora(model, LoraConfig{}, 11);
  for_each_linear(model, [](const std::string&, Linear& linear) {
    auto key = mx::random::key(static_cast<uint64_t>(linear.in + linear.out));
    linear.lora->b =
        0.1f * mx::random::normal(linear.lora->b.shape(), mx::float32, key);
  });
  std::function<mx::array(const std::vector<mx::array>&)> loss = [&](const auto& in) {
    auto copy = model;
    assign_trained(copy, in);
    auto hidden =
        mx::reshape(sequence_hidden(copy, tokens()), {-1, model.config.hidden_size});
    auto head = [&](const mx::array& x) { return copy.head(x); };
    return mx::sum(token_logprobs(hidden, mx::flatten(tokens()), head, 1.0f).logprobs);
  };
  auto arrays = trained_arrays(model);
  std::vector<int> all(arrays.size());
  std::iota(all.begin(), all.end(), 0);
  return mx::grad(loss, all)(arrays);
}

float relative(const mx::array& a, const mx::array& b) {
  return (mx::max(mx::abs(a - b)) / mx::max(mx::abs(b))).item<float>();
}

// Our kernels round inputs to 16 bits of their group's largest, and the weights on the
// way back to 13. The largest errors of all modes are 5e-4 and 1.3e-3
// (docs/decisions/0005).
void expect_equal(
    const Decoder& packed, const Decoder& dense, const std::string& what) {
  EXPECT_LT(relative(logits_of(packed), logits_of(dense)), 1e-3f) << what;
  auto found = adapter_gradients(packed), expected = adapter_gradients(dense);
  ASSERT_EQ(found.size(), 14u);
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_LT(relative(found[i], expected[i]), 2e-3f) << what << ", array " << i;
}

class QuantizedModel : public ::testing::TestWithParam<Quantization> {};

TEST_P(QuantizedModel, LogitsAndAdapterGradientsEqualThoseOfTheUnpackedOne) {
  for (bool tied : {true, false}) {
    auto config = testing::wide_config();
    config.tied_head = tied;
    Packings packings = {{"", GetParam()}};
    auto pair = packed_tensors(config, packings);
    expect_equal(
        decoder_of(pair.packed, packings, tied),
        decoder_of(pair.dense, {}, tied),
        tied ? "tied" : "untied");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Modes, QuantizedModel, ::testing::ValuesIn(kPackings), [](const auto& info) {
      return text_of(info.param);
    });

TEST(Quantized, EachModuleHasItsOwnModeOrNone) {
  Packings packings = {{"", {64, 4}}, {"lm_head", {16, 4, QuantMode::nvfp4}}};
  size_t next = 0;
  for (const char* name :
       {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj"})
    packings[std::string("model.layers.0.") + name] = kPackings[next += 3];
  packings["model.layers.0.mlp.down_proj"] = kDense;
  auto config = testing::wide_config();
  config.tied_head = false;
  auto pair = packed_tensors(config, packings);
  expect_equal(
      decoder_of(pair.packed, packings, false),
      decoder_of(pair.dense, {}, false),
      "mixed");
}

TEST(Quantized, TheTableHasTheSameRowsToTheBit) {
  auto ids = mx::array({5, 0, 47, 5}, mx::int32);
  for (const auto& packing : kPackings) {
    Packings packings = {{"", packing}};
    auto pair = packed_tensors(testing::wide_config(), packings);
    auto rows = [&](const Checkpoint::Tensors& tensors, const Packings& how) {
      return decoder_of(tensors, how, true).model.embed_tokens.rows(ids, mx::float32);
    };
    auto found = rows(pair.packed, packings), expected = rows(pair.dense, {});
    if (packing.mode == QuantMode::affine)  // one rounding or two
      EXPECT_LT(relative(found, expected), 1e-6f) << text_of(packing);
    else
      EXPECT_TRUE(mx::array_equal(found, expected).item<bool>()) << text_of(packing);
  }
}

TEST(Quantized, PackedWeightsAreNotTrainedThemselves) {
  LoraConfig full;
  full.fine_tune_type = "full";
  for (const auto& packing : kPackings) {
    Packings packings = {{"", packing}};
    auto pair = packed_tensors(testing::wide_config(), packings);
    auto model = decoder_of(pair.packed, packings, true);
    auto error = testing::refusal([&] { attach_lora(model, full, 0); });
    EXPECT_TRUE(has(error, "q_proj.weight is packed")) << text_of(packing);
  }
}

TEST(Quantized, WhatConfigurationAndTensorsDisagreeOnIsNamed) {
  Packings packings = {{"", {32, 4, QuantMode::mxfp4}}};
  auto pair = packed_tensors(testing::wide_config(), packings);
  const std::string module = "model.layers.0.self_attn.q_proj";
  auto error = [&](auto&& change) {
    auto tensors = pair.packed;
    auto how = packings;
    change(tensors, how);
    return testing::refusal([&] { decoder_of(tensors, how, true); });
  };
  EXPECT_TRUE(
      has(error([&](auto&, auto& how) { how[module] = kDense; }),
          "calls '" + module + "' dense, but its weight is packed"));
  EXPECT_TRUE(
      has(error([&](auto& tensors, auto& how) {
            how[module] = {32, 4, QuantMode::mxfp4};
            tensors.insert_or_assign(module + ".weight", mx::zeros({128, 128}));
            tensors.erase(module + ".scales");
          }),
          "calls '" + module + "' quantised, but its weight is dense"));
  EXPECT_TRUE(has(error([&](auto&, auto& how) { how[""] = {32, 4}; }), "holds uint8"));
  EXPECT_TRUE(
      has(error([&](auto& tensors, auto&) {
            tensors.insert_or_assign(module + ".biases", mx::zeros({128, 4}));
          }),
          "unexpected tensor '" + module + ".biases'"));
  EXPECT_TRUE(
      has(error([&](auto&, auto& how) { how[""] = {16, 4, QuantMode::nvfp4}; }),
          ".scales' has shape"));
}

}  // namespace
}  // namespace pupil
