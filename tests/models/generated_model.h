// Models of any size as sources of a conversion, for tests of how much memory that
// takes.

#pragma once

#include <filesystem>
#include <map>
#include <random>

#include "models/gguf_names.h"
#include "models/model_source.h"
#include "models/model_writer.h"
#include "support/tiny_checkpoint.h"

namespace pupil::testing {

/// Of `layers` blocks of this width; its matrices divide into super-blocks.
inline DecoderConfig generated_config(int layers, int width) {
  auto config = tiny_config();
  config.num_layers = layers;
  config.hidden_size = width;
  config.intermediate_size = 4 * width;
  config.num_kv_heads = config.num_heads;
  config.head_dim = width / config.num_heads;
  config.rope_periods.assign(config.head_dim / 2, 1.0f);
  return config;
}

inline int64_t num_parameters(const DecoderConfig& config) {
  int64_t all = 0;
  for (const auto& [_, shape] : tensor_shapes(config)) {
    int64_t size = 1;
    for (int side : shape) size *= side;
    all += size;
  }
  return all;
}

/// In float16, in shards of `shard_bytes`.
inline void generate_huggingface(
    const std::filesystem::path& dir,
    const DecoderConfig& config,
    int64_t shard_bytes = kShardBytes) {
  put_tokenizer(dir);
  auto description = huggingface_config(config);
  description["torch_dtype"] = "float16";
  write_text(dir / "config.json", description.dump(2));
  auto shapes = tensor_shapes(config);
  std::vector<std::string> names;
  for (const auto& [name, _] : shapes) names.push_back(name);
  ModelWriter writer(dir, names, shard_bytes);
  for (const auto& [name, shape] : shapes)
    writer.add(name, mx::full(shape, 0.02f, mx::float16));
  writer.finish(num_parameters(config));
}

/// Matrices in Q4_K, vectors in F32.
inline void generate_gguf(
    const std::filesystem::path& path, const DecoderConfig& config) {
  auto file = gguf_header("llama", config);
  std::mt19937 random(3);
  std::map<std::vector<int>, std::string> data;  // matrices of one shape are alike
  for (const auto& [name, shape] : tensor_shapes(config)) {
    bool is_matrix = shape.size() > 1;
    auto type = is_matrix ? GgufType::q4_k : GgufType::f32;
    auto& bytes = data[{shape.begin(), shape.end()}];
    if (bytes.empty())
      bytes = random_gguf_data(type, shape[0], is_matrix ? shape[1] : 1, random);
    file.tensor(*gguf_name(name), {shape.begin(), shape.end()}, type, bytes);
  }
  write_text(path, file.file());
}

}  // namespace pupil::testing
