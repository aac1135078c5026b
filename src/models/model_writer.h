// The weights of a model directory: safetensors shards of at most 5 GiB and their
// index, as mlx-lm lays them out.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/safetensors_writer.h"
#include "nn/parameters.h"

namespace pupil {

/// mlx-lm's limit.
constexpr int64_t kShardBytes = int64_t{5} << 30;

class ModelWriter {
 public:
  /// Files go into `dir`, which is empty. `weights` are the names of what will come,
  /// one for the arrays of a packed matrix: shards leave room for a header that names
  /// them. A shard holds `shard_bytes`, or one tensor.
  ModelWriter(
      std::string dir,
      const std::vector<std::string>& weights,
      int64_t shard_bytes = kShardBytes);

  /// Computes a tensor of float16, bfloat16, float32, uint32 or uint8 and writes it, so
  /// that no other is in memory. Throws std::runtime_error when that fails.
  void add(const std::string& name, const mx::array& tensor);

  /// Ends the last shard; with more than one, model.safetensors.index.json too.
  /// `total_parameters` goes into the index. To be called last.
  void finish(int64_t total_parameters);

 private:
  void begin_shard();
  void end_shard();

  std::string dir_;
  size_t header_room_ = 0;
  int64_t shard_bytes_;
  std::optional<SafetensorsWriter> shard_;  // the one that is being written
  int64_t held_bytes_ = 0;                  // its data
  int64_t total_bytes_ = 0;
  std::vector<std::vector<std::string>> shards_;  // the tensors of each
};

}  // namespace pupil
