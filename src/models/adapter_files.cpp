#include "models/adapter_files.h"

#include <re2/re2.h>

#include <optional>
#include <set>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "base/quote.h"
#include "formats/safetensors.h"
#include "formats/staged_directory.h"
#include "models/json_fields.h"
#include "models/peft_adapter.h"
#include "models/text_model.h"

namespace pupil {

namespace {

constexpr const char* kConfigFile = "/adapter_config.json";
constexpr const char* kMlxTensors = "/adapters.safetensors";
constexpr const char* kPeftTensors = "/adapter_model.safetensors";

std::string join_keys(const nlohmann::json& list, const JsonFields& fields) {
  std::string keys;
  for (const auto& key : list) {
    if (!key.is_string()) fields.fail("keys: expected a list of module names");
    if (!keys.empty()) keys += ',';
    keys += key.get<std::string>();
  }
  return keys;
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
  config.keys = "all_linear,experts";  // what mlx-lm adapts where no keys are named
  if (type != "full") {
    config.rank = lora.integer("rank", 1, 1024);
    config.scale = static_cast<float>(lora.number("scale", 1e-6, 1e6));
    config.dropout = lora.number("dropout", 0, 0.99, 0.0);
  }
  if (const auto* keys = lora.find("keys")) config.keys = join_keys(*keys, lora);
  return config;
}

// adapter_config.json, and what is said in it.
struct AdapterConfigFile {
  std::string path;
  nlohmann::json json;

  explicit AdapterConfigFile(const std::string& dir)
      : path(dir + kConfigFile), json(read_json_file(path)) {}

  JsonFields fields() const { return {json, path}; }
  bool is_peft() const { return is_peft_config(fields()); }
  LoraConfig config() const {
    return is_peft() ? peft_lora_config(fields()) : mlx_lora_config(fields(), path);
  }
};

// By their names in the text model; what has none there keeps its own.
Checkpoint::Tensors read_tensors(const std::string& path, bool peft) {
  read_safetensors_header(path);
  auto stored = peft ? read_peft_tensors(path) : mx::load_safetensors(path).first;
  Checkpoint::Tensors tensors;
  for (auto& [name, tensor] : stored)
    tensors.emplace(text_tensor_name(name).value_or(name), tensor);
  return tensors;
}

struct Place {
  int layer;
  std::string module, part;
};

// "model.layers.3.self_attn.q_proj.lora_a" -> 3, "self_attn.q_proj", "lora_a".
std::optional<Place> place_of(const std::string& name) {
  static const re2::RE2 kName(R"(model\.layers\.(\d{1,4})\.(.+)\.(lora_a|lora_b|m))");
  Place place;
  if (!re2::RE2::FullMatch(name, kName, &place.layer, &place.module, &place.part))
    return std::nullopt;
  return place;
}

// The modules of a layer that have an adapter, and the layers.
struct Places {
  std::set<std::string> modules;
  std::set<int> layers;
};

Places places_of(const AdapterFiles& files) {
  Places places;
  for (const auto& [name, tensor] : files.tensors) {
    auto place = place_of(name);
    if (!place)
      throw std::invalid_argument(
          "[adapter] " + files.path + ": " + in_quotes(name) +
          " is no part of an adapter; weights of full fine-tuning have mlx-lm's layout "
          "only");
    places.modules.insert(place->module);
    places.layers.insert(place->layer);
  }
  return places;
}

// All layers, or the last so many.
int num_layers(const std::set<int>& layers) {
  return layers.contains(0) ? -1 : static_cast<int>(layers.size());
}

nlohmann::ordered_json mlx_config_json(
    const AdapterFiles& files, const Places& places) {
  const auto& config = files.config;
  return {
      {"fine_tune_type", config.fine_tune_type},
      {"model", files.base_model},
      {"num_layers", num_layers(places.layers)},
      {"lora_parameters",
       {{"rank", config.rank},
        {"scale", config.scale},
        {"dropout", config.dropout},
        {"keys", places.modules}}}};
}

void write_layout(
    const AdapterFiles& files, const std::string& dir, AdapterLayout layout) {
  auto places = places_of(files);
  bool peft = layout == AdapterLayout::peft;
  auto tensors = peft ? peft_tensors(files.tensors) : files.tensors;
  auto path = dir + (peft ? kPeftTensors : kMlxTensors);
  mx::save_safetensors(path, tensors, {{"format", peft ? "pt" : "mlx"}});
  sync_path(path);
  auto json = peft ? peft_config_json(
                         files.config, files.base_model, places.modules, places.layers)
                   : mlx_config_json(files, places);
  write_file_atomically(dir + kConfigFile, json.dump(2) + "\n");
}

}  // namespace

LoraConfig read_adapter_config(const std::string& adapter_dir) {
  return AdapterConfigFile(adapter_dir).config();
}

AdapterFiles read_adapter_files(const std::string& adapter_dir) {
  AdapterConfigFile file(adapter_dir);
  bool peft = file.is_peft();
  auto path = adapter_dir + (peft ? kPeftTensors : kMlxTensors);
  auto base = file.fields().string(peft ? "base_model_name_or_path" : "model", "");
  return {
      file.config(),
      base,
      path,
      read_tensors(path, peft),
      peft ? AdapterLayout::peft : AdapterLayout::mlx_lm};
}

void write_adapter_files(
    const AdapterFiles& files, const std::string& adapter_dir, AdapterLayout layout) {
  StagedDirectory target(adapter_dir, Existing::never);
  write_layout(files, target.path(), layout);
  target.commit();
}

}  // namespace pupil
