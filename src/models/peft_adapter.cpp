#include "models/peft_adapter.h"

#include <cmath>
#include <optional>
#include <set>

#include "base/quote.h"
#include "formats/safetensors.h"
#include "models/lora.h"

namespace pupil {
namespace {

// Each changes what an adapter computes, and is off in a plain one.
constexpr const char* kUnsupported[] = {
    "bias",
    "use_dora",
    "use_qalora",
    "lora_bias",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
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

// "base_model.model.<module>.lora_A.weight" -> "<module>.lora_a".
std::optional<std::string> mlx_name(std::string_view name) {
  constexpr std::string_view kStart = "base_model.model.";
  if (!name.starts_with(kStart)) return std::nullopt;
  name.remove_prefix(kStart.size());
  for (auto [end, ours] :
       {std::pair{".lora_A.weight", ".lora_a"},
        std::pair{".lora_B.weight", ".lora_b"}}) {
    if (!name.ends_with(end)) continue;
    name.remove_suffix(std::string_view(end).size());
    return std::string(name) + ours;
  }
  return std::nullopt;
}

}  // namespace

bool is_peft_config(const JsonFields& fields) {
  return fields.find("peft_type") != nullptr;
}

LoraConfig peft_lora_config(const JsonFields& fields) {
  expect_plain(fields);
  LoraConfig config;
  config.rank = fields.integer("r", 1, 1024);
  double alpha = fields.number("lora_alpha", 1e-6, 1e6);
  bool by_root = fields.boolean("use_rslora", false);
  double divisor = by_root ? std::sqrt(config.rank) : config.rank;
  config.scale = static_cast<float>(alpha / divisor);
  config.num_layers = -1;
  config.keys = keys_of(fields);
  return config;
}

Checkpoint::Tensors read_peft_tensors(const std::string& path) {
  read_safetensors_header(path);
  Checkpoint::Tensors tensors;
  for (auto& [name, tensor] : mx::load_safetensors(path).first) {
    auto ours = mlx_name(name);
    tensors.emplace(ours.value_or(name), ours ? mx::transpose(tensor) : tensor);
  }
  return tensors;
}

}  // namespace pupil
