#include "models/model_writer.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/file.h"
#include "formats/safetensors_writer.h"

namespace pupil {
namespace {

std::string dtype_name(mx::Dtype dtype) {
  if (dtype == mx::float16) return "F16";
  if (dtype == mx::bfloat16) return "BF16";
  if (dtype == mx::float32) return "F32";
  if (dtype == mx::uint32) return "U32";
  if (dtype == mx::uint8) return "U8";
  throw std::logic_error("[model writer] a dtype that models do not have");
}

std::string partial_name(size_t shard) {
  return "/shard-" + std::to_string(shard) + ".partial";
}

std::string final_name(size_t shard, size_t count) {
  if (count == 1) return "model.safetensors";
  char text[64];
  std::snprintf(
      text, sizeof(text), "model-%05zu-of-%05zu.safetensors", shard + 1, count);
  return text;
}

}  // namespace

void ModelWriter::add(const std::string& name, const mx::array& tensor) {
  auto bytes = static_cast<int64_t>(tensor.nbytes());
  if (!pending_.empty() && pending_bytes_ + bytes > shard_bytes_) flush();
  pending_.push_back({name, tensor});
  pending_bytes_ += bytes;
  total_bytes_ += bytes;
}

void ModelWriter::flush() {
  std::vector<SafetensorsWriter::Tensor> specs;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : pending_) {
    const auto& shape = tensor.shape();
    specs.push_back(
        {name,
         dtype_name(tensor.dtype()),
         {shape.begin(), shape.end()},
         tensor.nbytes()});
    names.push_back(name);
  }
  SafetensorsWriter file(
      dir_ + partial_name(shards_.size()), specs, {{"format", "mlx"}});
  for (auto& pending : pending_) {
    auto tensor = mx::contiguous(pending.tensor);
    tensor.eval();
    file.append(tensor.data<char>(), tensor.nbytes());
    pending.tensor = mx::array(0);  // releases the data
  }
  file.finish();
  shards_.push_back(std::move(names));
  pending_.clear();
  pending_bytes_ = 0;
}

void ModelWriter::finish(int64_t total_parameters) {
  if (!pending_.empty()) flush();
  nlohmann::json map = nlohmann::json::object();
  for (size_t i = 0; i < shards_.size(); ++i) {
    auto name = final_name(i, shards_.size());
    rename_durably(dir_ + partial_name(i), dir_ + "/" + name);
    for (const auto& tensor : shards_[i]) map[tensor] = name;
  }
  if (shards_.size() == 1) return;
  nlohmann::json index = {
      {"metadata",
       {{"total_size", total_bytes_}, {"total_parameters", total_parameters}}},
      {"weight_map", map}};
  write_file_atomically(dir_ + "/model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace pupil
