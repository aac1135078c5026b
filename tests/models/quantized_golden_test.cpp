// `pupil convert` writes mlx_lm.convert's bytes, in every mode and recipe, and what was
// written gives mlx-lm's logits (tests/golden/quantized.json, made by
// tools/make_quantized_golden.py).

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/sha256.h"
#include "formats/model_index.h"
#include "formats/safetensors.h"
#include "models/attend.h"
#include "models/convert.h"
#include "models/model.h"
#include "models/model_source.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

json golden() {
  return read_json_file(std::string(PUPIL_SOURCE_DIR) + "/tests/golden/quantized.json");
}

// values_of in the tool.
mx::array formula_weights(uint32_t index, const mx::Shape& shape) {
  std::vector<float> values;
  uint32_t count = 1;
  for (int side : shape) count *= static_cast<uint32_t>(side);
  for (uint32_t place = 0; place < count; ++place) {
    uint32_t bits = (place + index * 1000003u) * 2654435761u;
    bits ^= bits >> 15;
    bits *= 2246822519u;
    bits ^= bits >> 13;
    float value = static_cast<float>(bits >> 16) / 131072.0f - 0.25f;
    values.push_back(shape.size() == 1 ? 1.0f + value : value);
  }
  return mx::array(values.data(), shape, mx::float32);
}

DecoderConfig shape_of(const json& setting) {
  auto config = testing::wide_config();
  config.num_layers = setting["layers"];
  config.tied_head = setting["tied"];
  return config;
}

void put_source(const fs::path& dir, const json& setting) {
  auto config = shape_of(setting);
  Checkpoint::Tensors tensors;
  uint32_t index = 0;
  for (const auto& [name, shape] : tensor_shapes(config)) {
    auto weights = formula_weights(index++, shape);
    tensors.emplace(name, mx::astype(weights, mx::bfloat16));
  }
  auto text = testing::huggingface_config(config);
  text["torch_dtype"] = "bfloat16";
  testing::put_huggingface(dir, text, tensors);
}

// digest in the tool.
std::string digest(const fs::path& dir) {
  std::map<std::string, std::string> fields;
  for (const auto& path : model_shards(dir)) {
    auto header = read_safetensors_header(path);
    auto file = testing::read_text(path).substr(header.data_begin);
    for (const auto& tensor : header.tensors) {
      auto& field = fields[tensor.name];
      field = tensor.name + " " + tensor.dtype + " ";
      for (auto side : tensor.shape) field += std::to_string(side) + ",";
      field.back() = '\n';
      field += file.substr(tensor.begin, tensor.end - tensor.begin);
    }
  }
  Sha256 sha;
  for (const auto& [_, field] : fields) sha.bytes(field);
  return sha.hex();
}

// mlx_lm.convert's keyword arguments.
ConvertOptions options_of(const json& options) {
  QuantizeRequest request;
  if (options.contains("q_bits")) request.bits = options["q_bits"];
  if (options.contains("q_group_size")) request.group_size = options["q_group_size"];
  request.mode = *find_mode(options.value("q_mode", "affine"));
  for (const auto& recipe : kQuantRecipes)
    if (recipe.name == options.value("quant_predicate", "")) request.recipe = recipe;
  ConvertOptions all;
  all.quantize = request;
  if (options.value("dtype", "") == "float16") all.dtype = mx::float16;
  if (options.value("dtype", "") == "float32") all.dtype = mx::float32;
  return all;
}

mx::array logits_of(const fs::path& dir, const json& tokens) {
  auto model = load_decoder(dir);
  auto ids = tokens.get<std::vector<int>>();
  auto hidden =
      sequence_hidden(model, mx::array(ids.data(), {1, static_cast<int>(ids.size())}));
  return model.head(mx::reshape(hidden, {-1, model.config.hidden_size}));
}

void expect_logits(const fs::path& dir, const json& setting, const json& tokens) {
  if (!setting.contains("logits")) return;
  auto logits = logits_of(dir, tokens);
  std::vector<float> values;
  for (const auto& row : setting["logits"])
    for (float value : row) values.push_back(value);
  auto expected = mx::array(values.data(), logits.shape(), mx::float32);
  // Our kernels round inputs to 16 bits of their group's largest.
  float bound = 1e-3f * mx::max(mx::abs(expected)).item<float>();
  EXPECT_LT(mx::max(mx::abs(logits - expected)).item<float>(), bound);
}

class QuantizedGolden : public ::testing::TestWithParam<std::string> {
 protected:
  json all = golden();
  json setting;

  void SetUp() override {
    for (const auto& one : all["settings"])
      if (one["name"] == GetParam()) setting = one;
    put_source(folder_.path() / "source", setting);
  }
  fs::path convert(ConvertOptions options, const char* from, const char* to) {
    options.from = folder_.path() / from;
    options.to = folder_.path() / to;
    convert_model(options, [](size_t, size_t, int64_t) {});
    return options.to;
  }

 private:
  testing::TempDir folder_;
};

TEST_P(QuantizedGolden, ConvertsAsMlxLmDoesAndSaysTheSame) {
  auto packed = convert(options_of(setting["options"]), "source", "packed");
  auto config = read_json_file(packed / "config.json");
  EXPECT_EQ(config["quantization"], setting["quantization"]);
  EXPECT_EQ(config["quantization_config"], setting["quantization"]);
  EXPECT_EQ(digest(packed), setting["sha256"]);
  expect_logits(packed, setting, all["tokens"]);
}

TEST_P(QuantizedGolden, APackedModelPassesThroughOrIsUnpacked) {
  convert(options_of(setting["options"]), "source", "packed");
  auto again = convert({}, "packed", "again");
  EXPECT_EQ(digest(again), setting["sha256"]);
  auto config = read_json_file(again / "config.json");
  EXPECT_EQ(config["quantization"], setting["quantization"]);
  if (!setting.contains("dequantized_sha256")) return;
  ConvertOptions options;
  options.dequantize = true;
  auto dense = convert(options, "packed", "dense");
  EXPECT_EQ(digest(dense), setting["dequantized_sha256"]);
  EXPECT_FALSE(read_json_file(dense / "config.json").contains("quantization"));
}

std::vector<std::string> names() {
  auto all = golden();
  std::vector<std::string> names;
  for (const auto& setting : all["settings"]) names.push_back(setting["name"]);
  return names;
}

INSTANTIATE_TEST_SUITE_P(
    MlxLm, QuantizedGolden, ::testing::ValuesIn(names()), [](const auto& info) {
      return info.param;
    });

}  // namespace
}  // namespace pupil
