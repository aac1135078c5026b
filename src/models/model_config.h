// What config.json says about a model, checked before anything is allocated.

#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace pupil {

/// The shape of a dense pre-norm decoder. Families differ only in these numbers.
struct DecoderConfig {
  std::string model_type = "llama";
  int num_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  int max_positions = 0;  // longest sequence that the model attends over exactly
  float norm_eps = 1e-6f;
  bool attention_bias = false;  // on q, k and v
  bool output_bias = false;     // on o
  bool mlp_bias = false;
  bool tied_head = false;  // the head is the embedding table
  std::vector<float>
      rope_periods;  // [head_dim / 2], 2 pi is a turn: angle = pos / period
};

/// config.json of a model directory.
struct ModelDescription {
  DecoderConfig decoder;
  Packings quantization;
};

/// Reads a Hugging Face or mlx-lm config.json of a known family (models/families.cpp).
/// `source` names it in errors. Throws std::invalid_argument if a field is missing, of
/// the wrong type or out of bounds, or if the model needs what we do not have.
ModelDescription parse_model_config(
    const nlohmann::json& json, const std::string& source);

/// mlx-lm's block on packed weights, "quantization" of config.json: or its copy under
/// "quantization_config", or what a Hugging Face quant_method of mxfp4 or mxfp8 there
/// stands for. null: nothing is packed. Throws std::invalid_argument for a format that
/// we do not read.
nlohmann::json quantization_block(
    const nlohmann::json& config, const std::string& source);

/// The same from the file `model_dir`/config.json.
ModelDescription read_model_config(const std::string& model_dir);

/// Ids that end a completion: eos_token_id of generation_config.json, else of
/// config.json; a number or a list. Empty if neither says.
std::vector<int> read_eos_ids(const std::string& model_dir);

}  // namespace pupil
