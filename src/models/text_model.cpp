#include "models/text_model.h"

#include <nlohmann/json.hpp>

#include "models/json_fields.h"

namespace pupil {

namespace {

// Transformers' Gemma3TextConfig, as far as mlx-lm's defaults differ or a file may be
// silent.
nlohmann::json gemma3_defaults() {
  return {
      {"vocab_size", 262208},
      {"hidden_size", 2304},
      {"intermediate_size", 9216},
      {"num_hidden_layers", 26},
      {"num_attention_heads", 8},
      {"num_key_value_heads", 4},
      {"head_dim", 256},
      {"max_position_embeddings", 131072},
      {"rms_norm_eps", 1e-6},
      {"query_pre_attn_scalar", 256},
      {"sliding_window", 4096}};
}

bool is_multimodal(const nlohmann::json& config) {
  return config.is_object() && config.value("model_type", nlohmann::json()) == "gemma3";
}

}  // namespace

nlohmann::json text_config(const nlohmann::json& config, const std::string& source) {
  if (!is_multimodal(config)) return config;
  JsonFields fields(config, source);
  const auto* own = fields.find("text_config");
  if (!own || !own->is_object()) fields.fail("text_config: expected an object");
  auto text = gemma3_defaults();
  text.update(*own);
  text["model_type"] = "gemma3_text";
  for (const char* key : {"eos_token_id", "quantization", "quantization_config"})
    if (config.contains(key)) text[key] = config[key];
  for (const char* key : {"vocab_size", "torch_dtype", "dtype", "tie_word_embeddings"})
    if (config.contains(key) && !own->contains(key)) text[key] = config[key];
  return text;
}

std::optional<std::string> text_tensor_name(const std::string& name) {
  for (std::string_view start :
       {"vision_tower.",
        "multi_modal_projector.",
        "model.vision_tower.",
        "model.multi_modal_projector."})
    if (name.starts_with(start)) return std::nullopt;
  constexpr std::string_view kOuter = "language_model.",
                             kInner = "model.language_model.";
  if (name.starts_with(kOuter)) return name.substr(kOuter.size());
  if (name.starts_with(kInner)) return "model." + name.substr(kInner.size());
  return name;
}

std::string tensor_prefix(const nlohmann::json& config) {
  return is_multimodal(config) ? "language_model." : "";
}

}  // namespace pupil
