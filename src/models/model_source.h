// What a conversion reads from: a configuration, tokenizer files and tensors under
// Hugging Face names, whatever the format on disk.

#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/model_config.h"
#include "ops/linear.h"

namespace pupil {

using SourceArray = std::variant<mx::array, QuantizedWeight>;

struct SourceTensor {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  mx::Shape shape;   // of the weights, however they are packed
  std::function<SourceArray()> load;
  bool is_mlx = false;    // packed by mlx-lm's rules, as `quantization` says
  std::string type = {};  // GGUF's name of how the source stores it ("Q4_K"); or none
  std::optional<mx::Dtype> unpacked = {};  // to be written in; none: as `load` gives it
};

struct ModelSource {
  nlohmann::json config;  // Hugging Face's config.json, without "quantization"
  std::vector<SourceTensor> tensors;
  std::map<std::string, std::string> files;  // text by name: tokenizer and generation
  nlohmann::json quantization = {};          // the block of config.json; null: none
  std::optional<mx::Dtype> dtype = {};       // that config.json claims for floats
};

/// Throws std::invalid_argument naming the file and what is wrong with it.
ModelSource open_huggingface_source(const std::string& dir);
ModelSource open_gguf_source(const std::string& path);

/// The tensors of a model of this shape, before any packing, by name.
std::map<std::string, mx::Shape> tensor_shapes(const DecoderConfig& config);

/// Throws std::invalid_argument "[convert] SOURCE: ..." unless `tensors` are exactly
/// those of a model of `config`, each with its shape.
void check_tensors(
    const std::vector<SourceTensor>& tensors,
    const DecoderConfig& config,
    const std::string& source);

}  // namespace pupil
