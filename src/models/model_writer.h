// The weights of a model directory: safetensors shards of at most 5 GiB and their
// index, as mlx-lm lays them out.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/parameters.h"

namespace pupil {

/// mlx-lm's limit.
constexpr int64_t kShardBytes = int64_t{5} << 30;

class ModelWriter {
 public:
  /// Files go into `dir`, which is empty. A shard holds `shard_bytes`, or one tensor.
  explicit ModelWriter(std::string dir, int64_t shard_bytes = kShardBytes)
      : dir_(std::move(dir)), shard_bytes_(shard_bytes) {}

  /// Adds a tensor of float16, bfloat16, float32, uint32 or uint8. It is computed when
  /// its shard is written, and released. Throws std::runtime_error when that fails.
  void add(const std::string& name, const mx::array& tensor);

  /// Writes what is left; with more than one shard, model.safetensors.index.json too.
  /// `total_parameters` goes into the index. To be called last.
  void finish(int64_t total_parameters);

 private:
  struct Named {
    std::string name;
    mx::array tensor;
  };

  void flush();

  std::string dir_;
  int64_t shard_bytes_;
  std::vector<Named> pending_;
  int64_t pending_bytes_ = 0, total_bytes_ = 0;
  std::vector<std::vector<std::string>> shards_;  // the tensors of each
};

}  // namespace pupil
