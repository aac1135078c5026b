// config.json as it comes from anywhere: what is read, defaulted, refused.

#include "models/model_config.h"

#include <gtest/gtest.h>

#include <numbers>

#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::has;
using testing::refusal;

json tiny() {
  return testing::huggingface_config(testing::tiny_config());
}

json with(const char* pointer, const json& value) {
  auto config = tiny();
  config[json::json_pointer(pointer)] = value;
  return config;
}

std::string error(const json& config) {
  return refusal([&] { parse_model_config(config, "config.json"); });
}

TEST(ModelConfig, FamiliesDifferInWhatIsLeftUnsaid) {
  auto read = [](const char* family) {
    return parse_model_config(with("/model_type", family), "config.json").decoder;
  };
  EXPECT_FALSE(read("llama").attention_bias);
  EXPECT_FALSE(read("mistral").attention_bias);
  EXPECT_TRUE(read("qwen2").attention_bias);
  EXPECT_FALSE(read("qwen2").output_bias);
  auto llama = with("/attention_bias", true);
  EXPECT_TRUE(parse_model_config(llama, "").decoder.output_bias);
}

TEST(ModelConfig, AWindowDoesNotBoundTheLength) {
  auto config = with("/sliding_window", 64);
  config["model_type"] = "mistral";
  auto decoder = parse_model_config(config, "config.json").decoder;
  EXPECT_EQ(decoder.max_positions, 256);
  EXPECT_EQ(decoder.layer(1).window, 64);
  config["model_type"] = "qwen2";  // which has a switch for it, and it is off
  EXPECT_EQ(parse_model_config(config, "config.json").decoder.layer(1).window, 0);
}

TEST(ModelConfig, RopeScalesByTheTypesInUse) {
  auto periods = [](const json& scaling) {
    auto config = with("/rope_scaling", scaling);
    return parse_model_config(config, "config.json").decoder.rope_periods;
  };
  auto plain = periods(nullptr);
  ASSERT_EQ(plain.size(), 4u);
  EXPECT_FLOAT_EQ(plain[1], 10.0f);  // 10000 ^ (2 / 8)
  auto linear = periods({{"type", "linear"}, {"factor", 4}});
  for (int i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(linear[i], 4 * plain[i]);
  json llama3 = {
      {"rope_type", "llama3"},
      {"factor", 8},
      {"low_freq_factor", 1},
      {"high_freq_factor", 4},
      {"original_max_position_embeddings", 256}};
  auto scaled = periods(llama3);
  EXPECT_FLOAT_EQ(scaled[0], plain[0]);      // 41 turns over the old context
  EXPECT_FLOAT_EQ(scaled[3], 8 * plain[3]);  // less than one
  double turns = 256 / (2 * std::numbers::pi * 10), blend = (turns - 1) / 3;
  EXPECT_GT(blend, 1);  // so this one is kept as well
  EXPECT_FLOAT_EQ(scaled[1], plain[1]);
  llama3["high_freq_factor"] = 1;
  EXPECT_TRUE(has(error(with("/rope_scaling", llama3)), "high_freq_factor"));
  EXPECT_EQ(periods({{"type", "dynamic"}, {"factor", 4}}), plain);  // up to its length
  EXPECT_TRUE(has(error(with("/rope_scaling/type", "mrope")), "'mrope'"));
}

TEST(ModelConfig, QuantizationIsByModule) {
  auto config = with("/quantization", {{"group_size", 64}, {"bits", 4}});
  config["quantization"]["lm_head"] = {{"group_size", 32}, {"bits", 8}};
  config["quantization"]["model.layers.0.mlp.up_proj"] = false;
  auto packings = parse_model_config(config, "config.json").quantization;
  EXPECT_EQ(packings.at("").group_size, 64);
  EXPECT_EQ(packings.at("lm_head").bits, 8);
  EXPECT_EQ(packings.at("model.layers.0.mlp.up_proj"), kDense);
  EXPECT_EQ(packings.size(), 3u);
  for (const auto& [pointer, value] : std::vector<std::pair<const char*, json>>{
           {"/quantization/bits", 7},
           {"/quantization/bits", 1},
           {"/quantization/group_size", 48},
           {"/quantization/group_size", 96},
           {"/quantization/mode", "nf4"},
           {"/quantization/mode", "mxfp4"},  // with groups of 64
           {"/quantization/lm_head/bits", "8"},
           {"/quantization", 4}}) {
    auto changed = config;
    changed[json::json_pointer(pointer)] = value;
    EXPECT_NE(error(changed), "accepted") << pointer << value;
  }
  auto other = with("/quantization_config", {{"quant_method", "gptq"}, {"bits", 4}});
  EXPECT_TRUE(has(error(other), "another tool's format"));
}

TEST(ModelConfig, ModesHaveTheirSizes) {
  json block = {{"group_size", 16}, {"bits", 4}, {"mode", "nvfp4"}};
  block["lm_head"] = {{"mode", "mxfp8"}};  // its usual sizes
  block["model.embed_tokens"] = {{"bits", 6}, {"group_size", nullptr}};
  block["model.layers.0.mlp.up_proj"] = true;
  Packings expected = {
      {"", {16, 4, QuantMode::nvfp4}},
      {"lm_head", {32, 8, QuantMode::mxfp8}},
      {"model.embed_tokens", {64, 6}},
      {"model.layers.0.mlp.up_proj", {16, 4, QuantMode::nvfp4}}};
  for (const char* key : {"/quantization", "/quantization_config"}) {
    auto config = with(key, block);
    EXPECT_EQ(parse_model_config(config, "c").quantization, expected) << key;
  }
  block["group_size"] = 32;
  EXPECT_TRUE(has(
      error(with("/quantization", block)),
      "expected 4 bits in groups of 16 for mode nvfp4, got 4 bits in groups of 32"));
  block["mode"] = "nf4";
  EXPECT_TRUE(
      has(error(with("/quantization", block)), "known: affine, mxfp4, mxfp8, nvfp4"));
  auto mxfp4 = with("/quantization_config", {{"quant_method", "mxfp4"}});
  EXPECT_EQ(
      parse_model_config(mxfp4, "c").quantization.at(""),
      (Quantization{32, 4, QuantMode::mxfp4}));
}

TEST(ModelConfig, FieldsOfAnyTypeAreReadOrRefused) {
  const std::vector<json> values = {
      nullptr,
      true,
      -1,
      0,
      1.5,
      1e300,
      -1e300,
      "x",
      json::array(),
      json::object(),
      {1, 2},
      {{"type", 1}},
      {{"rope_type", "llama3"}}};
  auto config = tiny();
  for (const char* key :
       {"rope_scaling",
        "rope_parameters",
        "quantization",
        "quantization_config",
        "sliding_window",
        "use_sliding_window",
        "attention_bias",
        "mlp_bias",
        "hidden_act"}) {
    config[key] = nullptr;
  }
  for (const auto& [key, _] : config.items()) {
    for (const auto& value : values) {
      auto changed = config;
      changed[key] = value;
      EXPECT_NO_THROW(error(changed)) << key << value;  // another exception
    }
  }
  for (const auto& value : values) EXPECT_NE(error(value), "accepted") << value;
}

TEST(ModelConfig, EosIdsAreANumberOrAList) {
  testing::TempDir dir;
  auto ids = [&](const char* generation, const char* config) {
    testing::write_text(dir.path() / "generation_config.json", generation);
    testing::write_text(dir.path() / "config.json", config);
    return read_eos_ids(dir.path());
  };
  EXPECT_EQ(ids(R"({"eos_token_id":2})", "{}"), std::vector<int>{2});
  EXPECT_EQ(
      ids(R"({"eos_token_id":[2,5]})", R"({"eos_token_id":1})"), (std::vector{2, 5}));
  EXPECT_EQ(ids("{}", R"({"eos_token_id":1})"), std::vector<int>{1});
  EXPECT_EQ(ids("{}", "{}"), std::vector<int>{});
  for (const char* bad : {"-1", "\"2\"", "1.5", "[-1]", "[[1]]", "{}", "1e9"}) {
    auto text = std::string(R"({"eos_token_id":)") + bad + "}";
    EXPECT_TRUE(has(refusal([&] { ids(text.c_str(), "{}"); }), "eos_token_id")) << bad;
  }
}

}  // namespace
}  // namespace pupil
