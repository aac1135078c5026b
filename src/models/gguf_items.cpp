#include "models/gguf_items.h"

#include <stdexcept>

#include "base/quote.h"
#include "models/rope_scaling.h"

namespace pupil {
namespace {

using nlohmann::json;

[[noreturn]] void fail(const std::string& source, const std::string& what) {
  throw std::invalid_argument("[gguf] " + source + ": " + what);
}

json scaling_of(const json& config) {
  return config.value("rope_scaling", json());
}

std::string rope_type(const json& config) {
  auto scaling = scaling_of(config);
  if (!scaling.is_object()) return "default";
  return scaling.value("rope_type", scaling.value("type", std::string("default")));
}

json without_scaling(json config) {
  config.erase("rope_scaling");
  config.erase("rope_parameters");
  return config;
}

void check_family(const DecoderConfig& decoder, const std::string& source) {
  const auto& family = decoder.model_type;
  if (family != "llama" && family != "qwen2") {
    fail(source, "model_type, expected llama or qwen2, got " + in_quotes(family));
  }
  for (int i = 0; i < decoder.num_layers; ++i) {
    if (decoder.layer(i).window > 0)
      fail(source, "sliding windows, which llama.cpp has not for this family");
  }
  if (decoder.rope_periods.size() * 2 != static_cast<size_t>(decoder.head_dim))
    fail(source, "partial_rotary_factor, expected heads that turn as a whole");
}

void put_rope(
    const json& config,
    const std::string& prefix,
    const std::string& source,
    GgufItems& items) {
  auto theta = config.value("rope_theta", 10000.0);
  items.emplace_back(prefix + "rope.freq_base", static_cast<float>(theta));
  auto type = rope_type(config);
  if (type == "linear") {
    auto factor = scaling_of(config).at("factor").get<float>();
    items.emplace_back(prefix + "rope.scaling.type", std::string("linear"));
    items.emplace_back(prefix + "rope.scaling.factor", factor);
  } else if (type != "default" && type != "llama3") {
    fail(
        source,
        "rope_scaling, expected default, linear or llama3, got " + in_quotes(type));
  }
}

}  // namespace

GgufItems gguf_model_items(
    const json& config, const DecoderConfig& decoder, const std::string& source) {
  check_family(decoder, source);
  auto prefix = decoder.model_type + ".";
  GgufItems items = {{"general.architecture", decoder.model_type}};
  auto put = [&](const char* name, int value) {
    items.emplace_back(prefix + name, static_cast<uint32_t>(value));
  };
  put("block_count", decoder.num_layers);
  put("context_length", config.value("max_position_embeddings", decoder.max_positions));
  put("embedding_length", decoder.hidden_size);
  put("feed_forward_length", decoder.intermediate_size);
  put("attention.head_count", decoder.num_heads);
  put("attention.head_count_kv", decoder.num_kv_heads);
  put("attention.key_length", decoder.head_dim);
  put("attention.value_length", decoder.head_dim);
  put("rope.dimension_count", decoder.head_dim);
  put("vocab_size", decoder.vocab_size);
  items.emplace_back(prefix + "attention.layer_norm_rms_epsilon", decoder.norm_eps);
  put_rope(config, prefix, source, items);
  return items;
}

std::optional<std::vector<float>> gguf_rope_factors(
    const json& config, const DecoderConfig& decoder) {
  if (rope_type(config) != "llama3") return std::nullopt;
  auto plain = read_rope(without_scaling(config), decoder.head_dim, "rope").periods;
  std::vector<float> factors;
  for (size_t i = 0; i < plain.size(); ++i)
    factors.push_back(decoder.rope_periods.at(i) / plain[i]);
  return factors;
}

}  // namespace pupil
