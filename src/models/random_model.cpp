#include "models/random_model.h"

#include <stdlib.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/file.h"
#include "models/model_config.h"
#include "models/model_source.h"
#include "models/model_writer.h"

namespace pupil {
namespace {

struct ModelShape {
  const char *name, *model_type;
  int layers, width, mlp_width, heads, kv_heads, vocab;
};

constexpr std::array kShapes = {
    ModelShape{"smollm2-135m", "llama", 30, 576, 1536, 9, 3, 49152},
    ModelShape{"qwen2.5-0.5b", "qwen2", 24, 896, 4864, 14, 2, 151936},
    ModelShape{"qwen2.5-1.5b", "qwen2", 28, 1536, 8960, 12, 2, 151936},
    ModelShape{"qwen2.5-3b", "qwen2", 36, 2048, 11008, 16, 2, 151936},
};

const ModelShape& shape_of(const std::string& name) {
  std::string known;
  for (const auto& shape : kShapes) {
    if (name == shape.name) return shape;
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
  }
  throw std::invalid_argument("[shape] no shape '" + name + "'; known: " + known);
}

nlohmann::json config_of(const ModelShape& shape, const Quantization& packing) {
  return {
      {"model_type", shape.model_type},
      {"num_hidden_layers", shape.layers},
      {"hidden_size", shape.width},
      {"intermediate_size", shape.mlp_width},
      {"num_attention_heads", shape.heads},
      {"num_key_value_heads", shape.kv_heads},
      {"vocab_size", shape.vocab},
      {"max_position_embeddings", 32768},
      {"rms_norm_eps", 1e-6},
      {"rope_theta", 1e6},
      {"tie_word_embeddings", true},
      {"eos_token_id", 1},
      {"quantization", {{"group_size", packing.group_size}, {"bits", packing.bits}}}};
}

const char* const kTokenizer =
    R"({"version":"1.0","added_tokens":[],"model":{"type":"WordLevel",)"
    R"("vocab":{"<unk>":0,"<end>":1},"unk_token":"<unk>"}})";

// Values of about 1/sqrt(in), so that activations keep their size from layer to layer.
void add_packed(
    ModelWriter& writer,
    const std::string& scope,
    const mx::Shape& shape,
    const Quantization& packing,
    const mx::array& key) {
  int out = shape[0], in = shape[1];
  float step =
      2.0f / std::sqrt(static_cast<float>(in)) / static_cast<float>(1 << packing.bits);
  float middle = -step * static_cast<float>(1 << (packing.bits - 1));
  mx::Shape groups{out, in / packing.group_size};
  writer.add(
      scope + ".weight", mx::random::bits({out, in * packing.bits / 32}, 4, key));
  writer.add(scope + ".scales", mx::full(groups, step, mx::float16));
  writer.add(scope + ".biases", mx::full(groups, middle, mx::float16));
}

}  // namespace

std::vector<std::string> model_shape_names() {
  std::vector<std::string> names;
  for (const auto& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

void write_random_model(
    const std::string& name, const Quantization& packing, const std::string& dir) {
  auto config = config_of(shape_of(name), packing);
  auto shapes = tensor_shapes(parse_model_config(config, name).decoder);
  std::vector<std::string> names;
  for (const auto& [tensor, _] : shapes) names.push_back(tensor);
  ModelWriter writer(dir, names);
  int64_t parameters = 0;
  uint64_t seed = 0;
  for (const auto& [tensor, shape] : shapes) {
    auto key = mx::random::key(++seed);
    int64_t size = 1;
    for (int side : shape) size *= side;
    parameters += size;
    if (shape.size() == 1) {
      bool is_norm = tensor.ends_with("norm.weight");
      writer.add(tensor, mx::full(shape, is_norm ? 1.0f : 0.0f, mx::float16));
      continue;
    }
    auto scope = tensor.substr(0, tensor.rfind(".weight"));
    add_packed(writer, scope, shape, packing, key);
  }
  writer.finish(parameters);
  write_file_atomically(dir + "/config.json", config.dump(2) + "\n");
  write_file_atomically(dir + "/tokenizer.json", kTokenizer);
}

TemporaryModel::TemporaryModel(const std::string& shape, const Quantization& packing) {
  auto pattern =
      (std::filesystem::temp_directory_path() / "pupil-shape-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error(
        "[shape] cannot make a directory like " + pattern +
        "; set TMPDIR to a folder that can be written");
  }
  path_ = pattern;
  write_random_model(shape, packing, path_);
}

TemporaryModel::~TemporaryModel() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace pupil
