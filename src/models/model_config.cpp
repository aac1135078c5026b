#include "models/model_config.h"

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "base/quote.h"
#include "models/families.h"
#include "models/json_fields.h"
#include "models/rope_scaling.h"

namespace pupil {

namespace {

constexpr int kMaxPositions = 1 << 24;

const Family& family_of(const JsonFields& fields) {
  auto type = fields.string("model_type");
  std::string known;
  for (const auto& family : kFamilies) {
    if (family.model_type == type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  fields.fail("model_type '" + type + "' is not supported; known: " + known);
}

void read_sizes(const JsonFields& fields, DecoderConfig& config) {
  config.num_layers = fields.integer("num_hidden_layers", 1, 512);
  config.hidden_size = fields.integer("hidden_size", 1, 65536);
  config.intermediate_size = fields.integer("intermediate_size", 1, 1 << 19);
  config.num_heads = fields.integer("num_attention_heads", 1, 1024);
  config.num_kv_heads =
      fields.integer("num_key_value_heads", 1, config.num_heads, config.num_heads);
  config.head_dim = fields.integer(
      "head_dim", 2, 1024, std::max(2, config.hidden_size / config.num_heads));
  config.vocab_size = fields.integer("vocab_size", 1, 1 << 21);
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.fail("num_key_value_heads must divide num_attention_heads");
  }
  if (config.head_dim % 2 != 0) fields.fail("head_dim must be even");
}

// A sliding window is exact up to its length: that is how long sequences may be.
int read_max_positions(const JsonFields& fields, const Family& family) {
  int positions = fields.integer("max_position_embeddings", 1, kMaxPositions, 2048);
  bool windowed = !family.window_by_flag || fields.boolean("use_sliding_window", false);
  if (!windowed) return positions;
  return std::min(
      positions, fields.integer("sliding_window", 1, kMaxPositions, positions));
}

Quantization read_packing(const JsonFields& fields) {
  auto name = fields.string("mode", "affine");
  auto mode = find_mode(name);
  if (!mode)
    fields.fail("mode '" + name + "' is not supported; known: " + known_modes());
  auto usual = usual_quantization(*mode);
  Quantization packing{
      fields.integer("group_size", 1, 1024, usual.group_size),
      fields.integer("bits", 1, 32, usual.bits),
      *mode};
  if (auto wrong = wrong_sizes(packing)) fields.fail(*wrong);
  return packing;
}

// {"group_size":..,"bits":..,"mode":..,"<module>":{the same three}|true|false,...}
Packings read_quantization(const nlohmann::json& block, const std::string& source) {
  Packings packings;
  if (block.is_null()) return packings;
  packings[""] = read_packing(JsonFields(block, source + ": quantization"));
  for (const auto& [module, value] : block.items()) {
    if (value.is_object())
      packings[module] = read_packing(JsonFields(value, source + ": " + module));
    if (value.is_boolean())
      packings[module] = value.get<bool>() ? packings[""] : kDense;
  }
  return packings;
}

}  // namespace

ModelDescription parse_model_config(
    const nlohmann::json& json, const std::string& source) {
  JsonFields fields(json, source);
  const auto& family = family_of(fields);
  ModelDescription model;
  auto& config = model.decoder;
  config.model_type = family.model_type;
  read_sizes(fields, config);
  config.max_positions = read_max_positions(fields, family);
  config.norm_eps = static_cast<float>(fields.number("rms_norm_eps", 0, 1, 1e-6));
  config.attention_bias = fields.boolean("attention_bias", family.attention_bias);
  config.output_bias = config.attention_bias && family.output_has_bias;
  config.mlp_bias = fields.boolean("mlp_bias", false);
  config.tied_head = fields.boolean("tie_word_embeddings", false);
  config.rope_periods = read_rope_periods(json, config.head_dim, source);
  if (auto act = fields.string("hidden_act", "silu"); act != "silu") {
    fields.fail("hidden_act '" + act + "' is not supported; known: silu");
  }
  model.quantization = read_quantization(quantization_block(json, source), source);
  return model;
}

nlohmann::json quantization_block(
    const nlohmann::json& config, const std::string& source) {
  JsonFields fields(config, source);
  if (const auto* block = fields.find("quantization")) return *block;
  const auto* block = fields.find("quantization_config");
  if (!block) return nullptr;
  JsonFields copy(*block, source + ": quantization_config");
  if (!copy.find("quant_method")) return *block;
  auto method = copy.string("quant_method");
  if (method != "mxfp4" && method != "mxfp8") {
    fields.fail(
        "quantization_config is of another tool's format, " + in_quotes(method) +
        "; expected mlx-lm's \"quantization\", or mxfp4 or mxfp8: convert the "
        "unquantised model");
  }
  auto usual = usual_quantization(*find_mode(method));
  return {{"group_size", usual.group_size}, {"bits", usual.bits}, {"mode", method}};
}

ModelDescription read_model_config(const std::string& model_dir) {
  auto path = model_dir + "/config.json";
  if (!std::filesystem::is_directory(model_dir)) {
    throw std::invalid_argument(
        "[model] " + model_dir + ": no such directory; make one with `pupil convert`");
  }
  return parse_model_config(read_json_file(path), path);
}

std::vector<int> read_eos_ids(const std::string& model_dir) {
  for (const char* name : {"/generation_config.json", "/config.json"}) {
    auto path = model_dir + name;
    if (!std::filesystem::exists(path)) continue;
    auto json = read_json_file(path);
    JsonFields fields(json, path);
    const auto* value = fields.find("eos_token_id");
    if (!value) continue;
    if (!value->is_array()) return {fields.integer("eos_token_id", 0, 1 << 21)};
    std::vector<int> ids;
    for (const auto& id : *value) {
      auto one = nlohmann::json{{"eos_token_id", id}};
      ids.push_back(JsonFields(one, path).integer("eos_token_id", 0, 1 << 21));
    }
    return ids;
  }
  return {};
}

}  // namespace pupil
