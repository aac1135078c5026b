#include "models/adapters.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <stdexcept>

#include "base/json.h"
#include "formats/safetensors.h"
#include "models/json_fields.h"

namespace pupil {

namespace {

const char* const kAllKeys[] = {
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj"};

nlohmann::json key_list(const std::string& keys) {
  auto list = nlohmann::json::array();
  if (keys.find("all_linear") != std::string::npos) {
    for (const char* key : kAllKeys) list.push_back(key);
    return list;
  }
  std::istringstream in(keys);
  for (std::string key; std::getline(in, key, ',');) {
    list.push_back(key);
  }
  return list;
}

std::string join_keys(const nlohmann::json& list, const JsonFields& fields) {
  std::string keys;
  for (const auto& key : list) {
    if (!key.is_string()) fields.fail("keys: expected a list of module names");
    if (!keys.empty()) keys += ',';
    keys += key.get<std::string>();
  }
  return keys;
}

// The linears that have an adapter get the arrays of that name.
void take_adapters(Decoder& model, Checkpoint& tensors, const LoraConfig& config) {
  for_each_linear(model, [&](const std::string& path, Linear& linear) {
    if (!linear.lora) return;
    auto a = tensors.take(path + ".lora_a", {linear.in, config.rank});
    auto b = tensors.take(path + ".lora_b", {config.rank, linear.out});
    linear.lora->a = mx::astype(a, mx::float32);
    linear.lora->b = mx::astype(b, mx::float32);
    mx::eval(linear.lora->a, linear.lora->b);
  });
}

}  // namespace

LoraConfig read_adapter_config(const std::string& adapter_dir) {
  auto path = adapter_dir + "/adapter_config.json";
  auto json = read_json_file(path);
  JsonFields fields(json, path);
  LoraConfig config;
  config.fine_tune_type = fields.string("fine_tune_type", "lora");
  if (config.fine_tune_type != "lora") {
    fields.fail(
        "fine_tune_type '" + config.fine_tune_type + "' is not supported; known: lora");
  }
  config.num_layers = fields.integer("num_layers", -1, 512, 16);
  const auto* parameters = fields.find("lora_parameters");
  if (!parameters) fields.fail("lora_parameters is missing");
  JsonFields lora(*parameters, path);
  config.rank = lora.integer("rank", 1, 1024);
  config.scale = static_cast<float>(lora.number("scale", 1e-6, 1e6));
  if (const auto* keys = lora.find("keys")) config.keys = join_keys(*keys, lora);
  return config;
}

void load_adapters(Decoder& model, const std::string& adapter_dir) {
  auto config = read_adapter_config(adapter_dir);
  auto path = adapter_dir + "/adapters.safetensors";
  read_safetensors_header(path);
  Checkpoint tensors(mx::load_safetensors(path).first, {}, path);
  auto adapted = without_lora(model);
  attach_lora(adapted, config, 0);
  take_adapters(adapted, tensors, config);
  tensors.expect_empty();
  model = adapted;
}

void save_adapter_tensors(const Decoder& model, const std::string& path) {
  auto paths = select_paths(model, is_lora);
  auto arrays = select_parameters(model, is_lora);
  Checkpoint::Tensors tensors;
  for (size_t i = 0; i < paths.size(); ++i) {
    tensors.emplace(paths[i], mx::contiguous(arrays[i]));
  }
  mx::save_safetensors(path, tensors, {{"format", "mlx"}});
}

std::string adapter_config_text(
    const LoraConfig& config, const std::string& model_dir) {
  nlohmann::ordered_json json = {
      {"fine_tune_type", config.fine_tune_type},
      {"model", model_dir},
      {"num_layers", config.num_layers},
      {"lora_parameters",
       {{"rank", config.rank},
        {"scale", config.scale},
        {"dropout", 0.0},
        {"keys", key_list(config.keys)}}}};
  return json.dump(2) + "\n";
}

}  // namespace pupil
