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
  for (const char* name : kTextFiles) {
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
  return !(tied_head && name.starts_with("lm_head."));
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::invalid_argument("[convert] " + path + ": " + what);
}

// A tensor of a file, not read yet.
struct FileTensor {
  mx::array array;
  std::string dtype, path;
};

// All of a text model, by name.
using FileTensors = std::map<std::string, FileTensor>;

FileTensors open_tensors(const std::string& dir, bool tied_head) {
  FileTensors tensors;
  for (const auto& path : model_shards(dir)) {
    auto header = read_safetensors_header(path);
    auto [arrays, _] = mx::load_safetensors(path);
    for (const auto& entry : header.tensors) {
      auto name = text_tensor_name(entry.name);
      if (!name || !is_kept(*name, tied_head)) continue;
      FileTensor tensor{arrays.at(entry.name), entry.dtype, path};
      if (!tensors.emplace(*name, tensor).second)
        fail(path, "tensor " + in_quotes(entry.name) + " comes twice");
    }
  }
  return tensors;
}

// Gives its array away when it is loaded, so that the data are freed when written.
SourceTensor source_tensor(
    const std::string& name, const mx::Shape& shape, SourceArray array) {
  auto handle = std::make_shared<std::optional<SourceArray>>(std::move(array));
  return {name, shape, [handle] {
            auto given = std::move(handle->value());
            handle->reset();
            return given;
          }};
}

SourceTensor dense_tensor(const std::string& name, const FileTensor& tensor) {
  if (tensor.dtype != "F16" && tensor.dtype != "BF16" && tensor.dtype != "F32") {
    fail(
        tensor.path,
        "tensor " + in_quotes(name) + " has dtype " + tensor.dtype +
            ", expected F16, BF16 or F32");
  }
  return source_tensor(name, tensor.array.shape(), tensor.array);
}

// Takes the parts of a packed `module`.
SourceTensor packed_tensor(
    FileTensors& tensors, const std::string& module, const Quantization& packing) {
  auto codes = tensors.extract(module + ".weight").mapped();
  if (module.find(".experts.") != module.npos)
    fail(
        codes.path,
        in_quotes(module) + ": experts are packed one by one; convert the original");
  auto scales = tensors.extract(module + ".scales").mapped();
  auto found = tensors.extract(module + ".biases");
  std::optional<mx::array> biases;
  if (!found.empty()) biases = found.mapped().array;
  QuantizedWeight packed{
      codes.array,
      scales.array,
      biases,
      packing.group_size,
      packing.bits,
      false,
      0,
      packing.mode};
  try {
    check_weight(as_matrix(packed));
  } catch (const std::invalid_argument& error) {
    fail(codes.path, in_quotes(module) + ": " + error.what());
  }
  auto shape = packed.packed.shape();
  shape.back() = shape.back() * 32 / packing.bits;
  auto tensor = source_tensor(module + ".weight", shape, packed);
  tensor.is_mlx = true;
  return tensor;
}

std::vector<std::string> packed_modules(const FileTensors& tensors) {
  constexpr std::string_view kSuffix = ".scales";
  std::vector<std::string> modules;
  for (const auto& [name, _] : tensors) {
    if (!name.ends_with(kSuffix)) continue;
    auto module = name.substr(0, name.size() - kSuffix.size());
    if (tensors.contains(module + ".weight")) modules.push_back(module);
  }
  return modules;
}

std::vector<SourceTensor> source_tensors(
    FileTensors tensors, const Packings& packings, const std::string& config) {
  std::vector<SourceTensor> all;
  for (const auto& module : packed_modules(tensors)) {
    auto packing = packing_of(packings, module);
    if (!packing || *packing == kDense)
      fail(config, in_quotes(module) + " is packed, but \"quantization\" has no entry");
    all.push_back(packed_tensor(tensors, module, *packing));
  }
  for (const auto& [name, tensor] : tensors) all.push_back(dense_tensor(name, tensor));
  return all;
}

// mlx-lm casts to what the configuration says; to other types, and by the newer key
// "dtype", it does not.
std::optional<mx::Dtype> claimed_dtype(const nlohmann::json& config) {
  auto found = config.find("torch_dtype");
  if (found == config.end() || !found->is_string()) return std::nullopt;
  if (*found == "float16") return mx::float16;
  if (*found == "bfloat16") return mx::bfloat16;
  if (*found == "float32") return mx::float32;
  return std::nullopt;
}

}  // namespace

ModelSource open_huggingface_source(const std::string& dir) {
  ModelSource source{read_config(dir), {}, read_files(dir)};
  auto path = dir + "/config.json";
  auto model = parse_model_config(source.config, path);
  source.quantization = quantization_block(source.config, path);
  source.dtype = claimed_dtype(source.config);
  for (const char* key : {"quantization", "quantization_config"})
    source.config.erase(key);
  source.tensors = source_tensors(
      open_tensors(dir, model.decoder.tied_head), model.quantization, path);
  stack_experts(source.tensors, model.decoder.experts.count);
  return source;
}

}  // namespace pupil
