#include "models/adapters.h"

#include <stdexcept>

#include "base/json.h"
#include "formats/safetensors.h"
#include "models/json_fields.h"
#include "models/peft_adapter.h"
#include "models/text_model.h"

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
    if (!linear.lora->magnitude) return;
    linear.lora->magnitude->m = take(path + ".m", {linear.out});
  });
  mx::eval(trained_arrays(model));  // at once: one by one is ten times slower
  update_norms(model);
}

// Replaces the weights that are there, and calls them trained.
void take_weights(Decoder& model, Checkpoint& tensors) {
  model.trained_weights.clear();
  for_each_leaf(model, "", [&](const std::string& path, mx::array& weight) {
    if (!tensors.contains(path)) return;
    if (!mx::issubdtype(weight.dtype(), mx::floating))
      tensors.fail("'" + path + "' is packed in this model; take the dense one");
    weight = mx::astype(tensors.take(path, weight.shape()), mx::float32);
    model.trained_weights.insert(path);
  });
  if (model.trained_weights.empty()) tensors.fail("no weight of this model is in it");
  mx::eval(trained_arrays(model));
}

LoraConfig mlx_lora_config(const JsonFields& fields, const std::string& path) {
  LoraConfig config;
  const auto& type = config.fine_tune_type = fields.string("fine_tune_type", "lora");
  if (type != "lora" && type != "dora" && type != "full") {
    fields.fail(
        "fine_tune_type '" + type + "' is not supported; known: lora, dora, full");
  }
  config.num_layers = fields.integer("num_layers", -1, 512, 16);
  const auto* parameters = fields.find("lora_parameters");
  if (type == "full" && !parameters) return config;
  if (!parameters) fields.fail("lora_parameters is missing");
  JsonFields lora(*parameters, path);
  if (type != "full") {
    config.rank = lora.integer("rank", 1, 1024);
    config.scale = static_cast<float>(lora.number("scale", 1e-6, 1e6));
    config.dropout = lora.number("dropout", 0, 0.99, 0.0);
  }
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

// By their names in the text model; what has none there keeps its own.
Checkpoint::Tensors read_tensors(const AdapterFiles& files) {
  read_safetensors_header(files.tensors);
  auto stored = files.peft ? read_peft_tensors(files.tensors)
                           : mx::load_safetensors(files.tensors).first;
  Checkpoint::Tensors tensors;
  for (auto& [name, tensor] : stored)
    tensors.emplace(text_tensor_name(name).value_or(name), tensor);
  return tensors;
}

}  // namespace

LoraConfig read_adapter_config(const std::string& adapter_dir) {
  return read_files(adapter_dir).config;
}

void load_adapters(Decoder& model, const std::string& adapter_dir) {
  auto files = read_files(adapter_dir);
  Checkpoint tensors(read_tensors(files), {}, files.tensors);
  auto adapted = without_lora(model);
  if (files.config.fine_tune_type == "full") {
    take_weights(adapted, tensors);
  } else {
    lay_out_lora(adapted, files.config, 0);
    take_adapters(adapted, tensors, files.config);
  }
  tensors.expect_empty();
  model = adapted;
}

void save_adapter_tensors(const Decoder& model, const std::string& path) {
  auto paths = trained_paths(model);
  auto arrays = trained_arrays(model);
  Checkpoint::Tensors tensors;
  for (size_t i = 0; i < paths.size(); ++i) {
    tensors.emplace(model.config.name_prefix + paths[i], mx::contiguous(arrays[i]));
  }
  mx::save_safetensors(path, tensors, {{"format", "mlx"}});
}

std::string adapter_config_text(
    const LoraConfig& config, const Decoder& model, const std::string& model_dir) {
  nlohmann::ordered_json json = {
      {"fine_tune_type", config.fine_tune_type},
      {"model", model_dir},
      {"num_layers", config.num_layers}};
  nlohmann::ordered_json parameters;
  if (config.fine_tune_type != "full") {
    parameters = {
        {"rank", config.rank},
        {"scale", scale_of(config)},
        {"dropout", config.dropout}};
  }
  parameters["keys"] = listed_keys(config.keys, model);
  json["lora_parameters"] = parameters;
  return json.dump(2) + "\n";
}

}  // namespace pupil
