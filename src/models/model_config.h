// What config.json says about a model, checked before anything is allocated.

#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace pupil {

/// Where a block has norms: before its two parts (Llama), after them (OLMo 2), or both
/// (Gemma).
enum class NormPlace { before, after, both };

/// What is normed of queries and keys: each head (Qwen3), or all of a token's at once
/// (OLMo 2).
enum class QueryNorm { none, head, projection };

/// The rotary periods of a layer: the model's, those of windowed layers, or no
/// rotation.
enum class LayerRope { global, local, none };

/// What may differ from layer to layer.
struct LayerConfig {
  int window = 0;  // tokens that a token attends to, itself the last; 0: all before it
  LayerRope rope = LayerRope::global;
  bool is_sparse = false;  // its MLP is a mixture of experts
};

/// A mixture of experts: of `count` MLPs, a token takes `per_token`.
struct ExpertsConfig {
  int count = 0;
  int per_token = 0;
  int intermediate_size = 0;
  bool norm_topk_prob = false;  // the weights of those taken add up to 1
};

/// The shape of a decoder. Families differ only in these numbers.
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
  bool tied_head = false;           // the head is the embedding table
  std::vector<float> rope_periods;  // [R / 2], R <= head_dim the dimensions that turn;
                                    // 2 pi is a turn: angle = pos / period
  std::vector<float> local_rope_periods = {};  // of LayerRope::local
  float rope_scale = 1;                        // of cosines and sines
  std::vector<LayerConfig> layers = {};        // empty: the same for all
  ExpertsConfig experts = {};
  NormPlace norms = NormPlace::before;
  QueryNorm query_norm = QueryNorm::none;
  bool norms_add_one = false;      // norms multiply by 1 + weight
  bool uses_gelu = false;          // in its tanh form, in place of silu
  bool fused_projections = false;  // q, k, v are one linear; gate and up another
  float attention_scale = 0;       // 0: 1 / sqrt(head_dim)
  float attention_cap = 0;         // softcap of scores; 0: none
  float embedding_scale = 1;
  float residual_scale = 1;  // of what a block's parts add
  float logit_scale = 1;
  float logit_cap = 0;           // softcap of logits; 0: none
  std::string name_prefix = {};  // of tensors on disk, before "model.": Gemma 3's

  LayerConfig layer(int i) const {
    return layers.empty() ? LayerConfig{} : layers.at(i);
  }
};

/// config.json of a model directory.
struct ModelDescription {
  DecoderConfig decoder;
  Packings quantization;
};

/// Reads a Hugging Face or mlx-lm config.json of a known family (models/families.h).
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
