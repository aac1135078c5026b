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

class QuantizedGolden : public ::testing::TestWithParam<json> {
 protected:
  fs::path convert(ConvertOptions options, const char* from, const char* to) {
    options.from = folder_.path() / from;
    options.to = folder_.path() / to;
    convert_model(options, [](size_t, size_t, int64_t) {});
    return options.to;
  }
  void put() { put_source(folder_.path() / "source", GetParam()); }

 private:
  testing::TempDir folder_;
};

TEST_P(QuantizedGolden, ConvertsAsMlxLmDoes) {
  put();
  const auto& setting = GetParam();
  auto packed = convert(options_of(setting["options"]), "source", "packed");
  auto config = read_json_file(packed / "config.json");
  EXPECT_EQ(config["quantization"], setting["quantization"]);
  EXPECT_EQ(config["quantization_config"], setting["quantization"]);
  EXPECT_EQ(digest(packed), setting["sha256"]);
  if (setting.contains("logits")) {
    auto logits = logits_of(packed, golden()["tokens"]);
    auto values = setting["logits"].get<std::vector<std::vector<float>>>();
    std::vector<float> flat;
    for (const auto& row : values) flat.insert(flat.end(), row.begin(), row.end());
    auto expected = mx::array(flat.data(), logits.shape(), mx::float32);
    auto largest = mx::max(mx::abs(expected)).item<float>();
    EXPECT_LT(mx::max(mx::abs(logits - expected)).item<float>(), 2e-4f * largest);
  }
  // Twice the same is the same: packed weights pass through, then back to dense ones.
  auto again = convert({}, "packed", "again");
  EXPECT_EQ(digest(again), setting["sha256"]);
  EXPECT_EQ(
      read_json_file(again / "config.json")["quantization"], setting["quantization"]);
  ConvertOptions dense;
  dense.dequantize = true;
  auto unpacked = convert(dense, "packed", "unpacked");
  EXPECT_EQ(digest(unpacked), setting["dequantized_sha256"]);
  EXPECT_FALSE(read_json_file(unpacked / "config.json").contains("quantization"));
}

std::vector<json> settings() {
  return golden()["settings"].get<std::vector<json>>();
}

INSTANTIATE_TEST_SUITE_P(
    MlxLm, QuantizedGolden, ::testing::ValuesIn(settings()), [](const auto& info) {
      return info.param["name"].template get<std::string>();
    });

}  // namespace
}  // namespace pupil
