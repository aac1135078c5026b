#include "models/adapters.h"

#include "base/json.h"
#include "models/adapter_files.h"

namespace pupil {

namespace {

// Fresh adapters get the arrays of their names.
void take_adapters(Decoder& model, Checkpoint& tensors) {
  for_each_adapter(model, [&](const std::string& path, std::optional<Lora>& lora) {
    if (!lora) return;
    auto take = [&](const std::string& name, const mx::Shape& shape) {
      return mx::contiguous(mx::astype(tensors.take(name, shape), mx::float32));
    };
    lora->a = take(path + ".lora_a", lora->a.shape());
    lora->b = take(path + ".lora_b", lora->b.shape());
    if (!lora->magnitude) return;
    lora->magnitude->m = take(path + ".m", lora->magnitude->m.shape());
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

}  // namespace

void load_adapters(Decoder& model, const std::string& adapter_dir) {
  auto files = read_adapter_files(adapter_dir);
  Checkpoint tensors(files.tensors, {}, files.path);
  auto adapted = without_lora(model);
  if (files.config.fine_tune_type == "full") {
    take_weights(adapted, tensors);
  } else {
    lay_out_lora(adapted, files.config, 0);
    take_adapters(adapted, tensors);
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
