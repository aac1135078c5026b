#include "models/peft_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/quote.h"
#include "formats/safetensors.h"
#include "models/lora.h"

namespace pupil {
namespace {

// Each changes what an adapter computes, and is off in a plain one.
constexpr const char* kUnsupported[] = {
    "bias",
    "use_qalora",
    "lora_bias",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens"};

// Other ways to start an adapter change the base weights too.
const std::set<nlohmann::json> kPlainStarts = {
    true, false, "gaussian", "eva", "orthogonal"};

bool is_off(const nlohmann::json& value) {
  return value == false || value == "none" || (value.is_structured() && value.empty());
}

void expect_plain(const JsonFields& fields) {
  if (auto type = fields.string("peft_type"); type != "LORA") {
    fields.fail("peft_type " + in_quotes(type) + " is not supported; known: LORA");
  }
  for (const char* name : kUnsupported) {
    const auto* value = fields.find(name);
    if (value && !is_off(*value)) {
      fields.fail(
          std::string(name) + ": " + in_quotes(value->dump()) + " is not supported");
    }
  }
  const auto* start = fields.find("init_lora_weights");
  if (start && !kPlainStarts.contains(*start)) {
    fields.fail(
        "init_lora_weights: " + in_quotes(start->dump()) +
        " changes the base weights, which is not supported");
  }
}

// A target names a module by its path in the block or by the end of it.
std::string keys_of(const JsonFields& fields) {
  const auto* targets = fields.find("target_modules");
  if (targets && *targets == "all-linear") return "all_linear";
  if (!targets || !targets->is_array()) {
    fields.fail("target_modules: expected a list of modules or all-linear");
  }
  std::string keys;
  for (const auto& target : *targets) {
    if (!target.is_string()) fields.fail("target_modules: expected a list of modules");
    auto name = target.get<std::string>();
    bool known = false;
    for (std::string_view key : kLoraKeys) {
      if (key != name && !key.ends_with("." + name)) continue;
      keys += (keys.empty() ? "" : ",");
      keys += key;
      known = true;
    }
    if (!known)
      fields.fail("target_modules: no linear " + in_quotes(name) + " in a block");
  }
  return keys;
}

constexpr std::string_view kStart = "base_model.model.";

// The parts of an adapter by their names in both layouts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kParts = {{
    {".lora_A.weight", ".lora_a"},
    {".lora_B.weight", ".lora_b"},
    {".lora_magnitude_vector", ".m"},
}};

// "base_model.model.<module>.lora_A.weight" -> "<module>.lora_a".
std::optional<std::string> mlx_name(std::string_view name) {
  if (!name.starts_with(kStart)) return std::nullopt;
  name.remove_prefix(kStart.size());
  for (auto [theirs, ours] : kParts) {
    if (!name.ends_with(theirs)) continue;
    name.remove_suffix(theirs.size());
    return std::string(name) + std::string(ours);
  }
  return std::nullopt;
}

std::string peft_name(std::string_view name) {
  for (auto [theirs, ours] : kParts) {
    if (!name.ends_with(ours)) continue;
    name.remove_suffix(ours.size());
    return std::string(kStart) + std::string(name) + std::string(theirs);
  }
  return std::string(name);
}

mx::array turned(const mx::array& tensor) {
  return tensor.ndim() == 2 ? mx::contiguous(mx::transpose(tensor)) : tensor;
}

// mlx-lm knows the last so many layers only.
int num_layers_of(const JsonFields& fields) {
  const auto* given = fields.find("layers_to_transform");
  if (!given || (given->is_array() && given->empty())) return -1;
  auto layers = fields.integers("layers_to_transform", 0, 4095, {});
  std::ranges::sort(layers);
  for (size_t i = 1; i < layers.size(); ++i) {
    if (layers[i] != layers[i - 1] + 1)
      fields.fail("layers_to_transform: expected the last layers, without gaps");
  }
  return layers[0] == 0 ? -1 : static_cast<int>(layers.size());
}

}  // namespace

bool is_peft_config(const JsonFields& fields) {
  return fields.find("peft_type") != nullptr;
}

LoraConfig peft_lora_config(const JsonFields& fields) {
  expect_plain(fields);
  LoraConfig config;
  if (fields.boolean("use_dora", false)) config.fine_tune_type = "dora";
  config.rank = fields.integer("r", 1, 1024);
  double alpha = fields.number("lora_alpha", 1e-6, 1e6);
  bool by_root = fields.boolean("use_rslora", false);
  double divisor = by_root ? std::sqrt(config.rank) : config.rank;
  config.scale = static_cast<float>(alpha / divisor);
  config.dropout = fields.number("lora_dropout", 0, 0.99, 0.0);
  config.num_layers = num_layers_of(fields);
  config.keys = keys_of(fields);
  return config;
}

Checkpoint::Tensors read_peft_tensors(const std::string& path) {
  read_safetensors_header(path);
  Checkpoint::Tensors tensors;
  for (auto& [name, tensor] : mx::load_safetensors(path).first) {
    auto ours = mlx_name(name);
    tensors.emplace(ours.value_or(name), ours ? turned(tensor) : tensor);
  }
  return tensors;
}

Checkpoint::Tensors peft_tensors(const Checkpoint::Tensors& tensors) {
  Checkpoint::Tensors theirs;
  for (const auto& [name, tensor] : tensors) {
    if (name.find(".switch_mlp.") != name.npos)
      throw std::invalid_argument(
          "[adapter] " + in_quotes(name) +
          ": PEFT's layout has no adapters of experts");
    theirs.emplace(peft_name(name), turned(tensor));
  }
  return theirs;
}

nlohmann::ordered_json peft_config_json(
    const LoraConfig& config,
    const std::string& base_model,
    const std::set<std::string>& modules,
    const std::set<int>& layers) {
  nlohmann::ordered_json json = {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", base_model},
      {"inference_mode", true},
      {"r", config.rank},
      {"lora_alpha", double{config.scale} * config.rank},
      {"lora_dropout", config.dropout},
      {"use_dora", config.fine_tune_type == "dora"},
      {"use_rslora", false},
      {"bias", "none"},
      {"target_modules", modules}};
  if (!layers.contains(0)) json["layers_to_transform"] = layers;
  return json;
}

}  // namespace pupil
