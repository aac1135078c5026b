#include "models/model_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "base/quote.h"
#include "models/families.h"
#include "models/json_fields.h"
#include "models/layer_plan.h"
#include "models/rope_scaling.h"
#include "models/text_model.h"

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

void read_sizes(const JsonFields& fields, const Family& family, DecoderConfig& config) {
  config.num_layers = fields.integer("num_hidden_layers", 1, 512);
  config.hidden_size = fields.integer("hidden_size", 1, 65536);
  config.intermediate_size = fields.integer("intermediate_size", 1, 1 << 19);
  config.num_heads = fields.integer("num_attention_heads", 1, 1024);
  config.num_kv_heads =
      fields.integer("num_key_value_heads", 1, config.num_heads, config.num_heads);
  int width = std::max(2, config.hidden_size / config.num_heads);
  config.head_dim =
      fields.integer("head_dim", 2, 1024, family.head_dim ? family.head_dim : width);
  config.vocab_size = fields.integer("vocab_size", 1, 1 << 21);
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.fail("num_key_value_heads must divide num_attention_heads");
  }
  if (config.head_dim % 2 != 0) fields.fail("head_dim must be even");
}

void read_biases(
    const JsonFields& fields, const Family& family, DecoderConfig& config) {
  config.attention_bias = fields.boolean("attention_bias", family.attention_bias);
  config.output_bias = config.attention_bias && family.output_has_bias;
  config.mlp_bias = fields.boolean("mlp_bias", false);
  if (family.fused_projections && (config.attention_bias || config.mlp_bias))
    fields.fail("attention_bias, mlp_bias: this family has none");
}

// The maths of a block, as far as it is the family's own.
void read_block(const JsonFields& fields, const Family& family, DecoderConfig& config) {
  config.norms = family.norms;
  config.query_norm = family.query_norm;
  config.fused_projections = family.fused_projections;
  config.norms_add_one = config.uses_gelu = family.is_gemma;
  const char* key = family.is_gemma ? "hidden_activation" : "hidden_act";
  std::string known = family.is_gemma ? "gelu_pytorch_tanh" : "silu";
  if (auto act = fields.string(key, known); act != known)
    fields.fail(key + (" '" + act + "' is not supported; known: " + known));
  if (fields.boolean("use_bidirectional_attention", false))
    fields.fail("use_bidirectional_attention is not supported; expected false");
}

void read_scales(
    const JsonFields& fields, const Family& family, DecoderConfig& config) {
  auto number = [&](const char* name, double fallback) {
    return static_cast<float>(fields.number(name, 1e-6, 1e6, fallback));
  };
  auto cap = [&](const char* name, float fallback) {  // null, unlike missing, is none
    return fields.is_null(name) ? 0.0f : number(name, fallback);
  };
  if (family.is_gemma) {
    config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
    config.attention_scale = 1 / std::sqrt(number("query_pre_attn_scalar", 256));
    config.attention_cap = cap("attn_logit_softcapping", family.attention_cap);
    config.logit_cap = cap("final_logit_softcapping", family.logit_cap);
  }
  if (family.has_multipliers) {
    config.embedding_scale = number("embedding_multiplier", 1);
    config.attention_scale = number("attention_multiplier", 1);
    config.residual_scale = number("residual_multiplier", 1);
    config.logit_scale = 1 / number("logits_scaling", 1);
  }
}

void read_rotations(
    const JsonFields& fields,
    const nlohmann::json& json,
    const Family& family,
    const std::string& source,
    DecoderConfig& config) {
  config.max_positions =
      fields.integer("max_position_embeddings", 1, kMaxPositions, 2048);
  auto rope = read_rope(json, config.head_dim, source, {.theta = family.rope_theta});
  config.rope_periods = rope.periods;
  config.rope_scale = rope.scale;
  if (rope.max_positions > 0)
    config.max_positions = std::min(config.max_positions, rope.max_positions);
  if (!family.two_ropes) return;
  auto local = read_rope(json, config.head_dim, source, kLocalRope);
  if (local.scale != 1) fields.fail("sliding_attention: yarn is not supported there");
  config.local_rope_periods = local.periods;
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
    auto name = text_tensor_name(module);
    if (!name) continue;
    if (value.is_object())
      packings[*name] = read_packing(JsonFields(value, source + ": " + module));
    if (value.is_boolean()) packings[*name] = value.get<bool>() ? packings[""] : kDense;
  }
  return packings;
}

}  // namespace

ModelDescription parse_model_config(
    const nlohmann::json& json, const std::string& source) {
  auto text = text_config(json, source);
  JsonFields fields(text, source);
  const auto& family = family_of(fields);
  ModelDescription model;
  auto& config = model.decoder;
  config.model_type = family.model_type;
  config.name_prefix = tensor_prefix(json);
  read_sizes(fields, family, config);
  config.norm_eps = static_cast<float>(fields.number("rms_norm_eps", 0, 1, 1e-6));
  config.tied_head = fields.boolean("tie_word_embeddings", family.tied_head);
  read_biases(fields, family, config);
  read_block(fields, family, config);
  read_scales(fields, family, config);
  read_rotations(fields, text, family, source, config);
  config.layers = plan_layers(fields, family, config.num_layers);
  if (family.has_experts) config.experts = read_experts(fields);
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
