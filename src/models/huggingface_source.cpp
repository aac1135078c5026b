// A Hugging Face model directory with safetensors, as a source for conversion.

#include <filesystem>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "base/quote.h"
#include "formats/model_index.h"
#include "formats/safetensors.h"
#include "models/model_source.h"

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
    if (!is_kept(entry.name, tied)) continue;
    if (entry.dtype != "F16" && entry.dtype != "BF16" && entry.dtype != "F32") {
      throw std::invalid_argument(
          "[convert] " + path + ": tensor " + in_quotes(entry.name) + " has dtype " +
          entry.dtype + ", expected F16, BF16 or F32");
    }
    // One handle, given away when it is loaded, so that its data are freed when
    // written.
    auto handle = std::make_shared<std::optional<mx::array>>(arrays.at(entry.name));
    tensors.push_back({entry.name, (*handle)->shape(), [handle]() -> SourceArray {
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
  return source;
}

}  // namespace pupil
