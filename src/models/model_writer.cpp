#include "models/model_writer.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/file.h"

namespace pupil {
namespace {

constexpr size_t kArraysOfOne = 3;   // codes, scales and biases of a packed matrix
constexpr size_t kEntryBytes = 192;  // and more than an entry takes beside its name

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

ModelWriter::ModelWriter(
    std::string dir, const std::vector<std::string>& weights, int64_t shard_bytes)
    : dir_(std::move(dir)), shard_bytes_(shard_bytes) {
  for (const auto& name : weights)
    header_room_ += kArraysOfOne * (name.size() + kEntryBytes);
  header_room_ += kEntryBytes;  // of the metadata
}

void ModelWriter::add(const std::string& name, const mx::array& tensor) {
  auto bytes = static_cast<int64_t>(tensor.nbytes());
  if (shard_ && held_bytes_ + bytes > shard_bytes_) end_shard();
  if (!shard_) begin_shard();
  auto values = mx::contiguous(tensor);
  values.eval();
  const auto& shape = values.shape();
  shard_->add(
      {name,
       dtype_name(values.dtype()),
       {shape.begin(), shape.end()},
       values.nbytes()});
  shard_->append(values.data<char>(), values.nbytes());
  shards_.back().push_back(name);
  held_bytes_ += bytes;
  total_bytes_ += bytes;
}

void ModelWriter::begin_shard() {
  std::map<std::string, std::string> metadata = {{"format", "mlx"}};
  shard_.emplace(dir_ + partial_name(shards_.size()), header_room_, metadata);
  shards_.emplace_back();
  held_bytes_ = 0;
}

void ModelWriter::end_shard() {
  shard_->finish();
  shard_.reset();
}

void ModelWriter::finish(int64_t total_parameters) {
  if (shard_) end_shard();
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
