#include "models/adapters.h"

#include <stdexcept>

#include "base/json.h"
#include "formats/safetensors.h"
#include "models/json_fields.h"
#include "models/peft_adapter.h"

namespace pupil {

namespace {

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
    auto take = [&](const std::string& name, const mx::Shape& shape) {
      return mx::contiguous(mx::astype(tensors.take(name, shape), mx::float32));
    };
    linear.lora->a = take(path + ".lora_a", {linear.in, config.rank});
    linear.lora->b = take(path + ".lora_b", {config.rank, linear.out});
    mx::eval(linear.lora->a, linear.lora->b);
  });
}

LoraConfig mlx_lora_config(const JsonFields& fields, const std::string& path) {
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

struct AdapterFiles {
  LoraConfig config;
  std::string tensors;  // their path
  bool peft;
};

AdapterFiles read_files(const std::string& dir) {
  auto path = dir + "/adapter_config.json";
  auto json = read_json_file(path);
  JsonFields fields(json, path);
  if (is_peft_config(fields)) {
    return {peft_lora_config(fields), dir + "/adapter_model.safetensors", true};
  }
  return {mlx_lora_config(fields, path), dir + "/adapters.safetensors", false};
}

Checkpoint::Tensors read_tensors(const AdapterFiles& files) {
  if (files.peft) return read_peft_tensors(files.tensors);
  read_safetensors_header(files.tensors);
  return mx::load_safetensors(files.tensors).first;
}

}  // namespace

LoraConfig read_adapter_config(const std::string& adapter_dir) {
  return read_files(adapter_dir).config;
}

void load_adapters(Decoder& model, const std::string& adapter_dir) {
  auto files = read_files(adapter_dir);
  Checkpoint tensors(read_tensors(files), {}, files.tensors);
  auto adapted = without_lora(model);
  attach_lora(adapted, files.config, 0);
  take_adapters(adapted, tensors, files.config);
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
        {"keys", listed_keys(config.keys)}}}};
  return json.dump(2) + "\n";
}

}  // namespace pupil
