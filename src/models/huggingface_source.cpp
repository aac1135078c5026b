// A Hugging Face model directory with safetensors, as a source for conversion.

#include <filesystem>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "base/quote.h"
#include "formats/model_index.h"
#include "formats/safetensors.h"
#include "models/expert_stack.h"
#include "models/model_source.h"
#include "models/text_model.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCopiedFiles[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "generation_config.json"};

// Transformers 5 keeps everything rotary in rope_parameters; others look where it used
// to be.
void spell_out_rope(nlohmann::json& config) {
  auto both = config.value("rope_parameters", nlohmann::json());
  if (!both.is_object()) return;
  auto set = [&](const char* name, const nlohmann::json& from, const char* key) {
    if (from.contains(key) && !config.contains(name)) config[name] = from[key];
  };
  auto local = both.value("sliding_attention", nlohmann::json());
  if (local.is_object()) set("rope_local_base_freq", local, "rope_theta");
  auto main = both.value("full_attention", both);
  if (!main.is_object()) return;
  set("rope_theta", main, "rope_theta");
  set("partial_rotary_factor", main, "partial_rotary_factor");
  set("original_max_position_embeddings", main, "original_max_position_embeddings");
  bool is_scaled = main.value("rope_type", nlohmann::json("default")) != "default";
  if (!is_scaled || config.contains("rope_scaling")) return;
  config["rope_scaling"] = main;
  config["rope_scaling"]["type"] = main["rope_type"];
}

nlohmann::json read_config(const std::string& dir) {
  auto path = dir + "/config.json";
  auto config = read_json_file(path);
  if (!config.is_object()) {
    throw std::invalid_argument("[convert] " + path + ": expected a JSON object");
  }
  for (const char* key : {"quantization", "quantization_config"}) {
    if (config.contains(key)) {
      throw std::invalid_argument(
          "[convert] " + path + ": the model is quantised already (\"" + key +
          "\"); convert the original");
    }
  }
  // Names of Python code that other loaders would run.
  for (const char* key : {"auto_map", "model_file"}) config.erase(key);
  config = text_config(config, path);
  spell_out_rope(config);
  if (config.contains("num_local_experts") && !config.contains("num_experts"))
    config["num_experts"] = config["num_local_experts"];
  return config;
}

std::map<std::string, std::string> read_files(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const char* name : kCopiedFiles) {
    if (!fs::exists(dir / name)) continue;
    files[name] = read_file(dir / name);
  }
  if (!files.contains("tokenizer.json") && !files.contains("vocab.json")) {
    throw std::invalid_argument(
        "[convert] " + dir.string() +
        ": expected tokenizer.json, or vocab.json and "
        "merges.txt");
  }
  return files;
}

bool is_kept(const std::string& name, bool tied_head) {
  if (name.ends_with("rotary_emb.inv_freq")) return false;  // computed, not learnt
  return !(tied_head && name == "lm_head.weight");
}

void add_shard(std::vector<SourceTensor>& tensors, const std::string& path, bool tied) {
  auto header = read_safetensors_header(path);
  auto [arrays, _] = mx::load_safetensors(path);
  for (const auto& entry : header.tensors) {
    auto name = text_tensor_name(entry.name);
    if (!name || !is_kept(*name, tied)) continue;
    if (entry.dtype != "F16" && entry.dtype != "BF16" && entry.dtype != "F32") {
      throw std::invalid_argument(
          "[convert] " + path + ": tensor " + in_quotes(entry.name) + " has dtype " +
          entry.dtype + ", expected F16, BF16 or F32");
    }
    // One handle, given away when it is loaded, so that its data are freed when
    // written.
    auto handle = std::make_shared<std::optional<mx::array>>(arrays.at(entry.name));
    tensors.push_back({*name, (*handle)->shape(), [handle]() -> SourceArray {
                         mx::array array = handle->value();
                         handle->reset();
                         return array;
                       }});
  }
}

}  // namespace

ModelSource open_huggingface_source(const std::string& dir) {
  ModelSource source{read_config(dir), {}, read_files(dir)};
  auto decoder = parse_model_config(source.config, dir + "/config.json").decoder;
  for (const auto& path : model_shards(dir)) {
    add_shard(source.tensors, path, decoder.tied_head);
  }
  stack_experts(source.tensors, decoder.experts.count);
  return source;
}

}  // namespace pupil
