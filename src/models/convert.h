// Hugging Face directories and GGUF files to MLX model directories, as mlx-lm lays them
// out: `pupil convert`.

#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "formats/staged_directory.h"
#include "models/model_source.h"
#include "models/model_writer.h"
#include "models/quantize_plan.h"

namespace pupil {

struct ConvertOptions {
  std::string from;                         // a model directory or a .gguf file
  std::string to;                           // the new model directory
  std::optional<QuantizeRequest> quantize;  // dense linears and embeddings; none: as is
  bool dequantize = false;                  // unpack all; not with `quantize`
  bool keep_dtypes = false;                 // of arrays, whatever config.json claims
  std::optional<mx::Dtype> dtype;           // of floats; none: the source's
  Existing existing = Existing::refuse;
  int64_t shard_bytes = kShardBytes;
  /// What is written in place of the named tensor, as it was read; nothing: it is
  /// converted like the others. With it the options above may have nothing to do.
  std::function<std::optional<SourceArray>(
      const std::string& name, const SourceArray& array)>
      replace = {};
};

/// What was written, by packing; dense tensors have group size 0. A quantised matrix
/// counts as one tensor.
struct ConvertSummary {
  struct Row {
    int tensors = 0;
    int64_t parameters = 0;
    int64_t bytes = 0;
  };
  std::map<Quantization, Row> rows;
  Row total() const;

  /// What became of a GGUF file's tensors of one type; empty for a directory.
  enum class Fate { dense, kept, unpacked, packed };
  struct Origin {
    std::string type;  // "Q4_K"
    Fate fate;
    Quantization packing;  // as written
    auto operator<=>(const Origin&) const = default;
  };
  std::map<Origin, int> origins;  // tensors of each
};

/// Told before each tensor: how many of how many are done, and the bytes written.
using ConvertProgress = std::function<void(size_t done, size_t total, int64_t bytes)>;

/// Converts and puts the directory in place at once, when it is complete. Every
/// tensor's shape is checked against the configuration before anything is written.
/// Without `quantize`, packed weights keep their packing, and with it those of a model
/// directory too; a GGUF file's are packed anew. What is dense is cast to
/// `dtype`, else to the torch_dtype of a model directory's config.json, as mlx-lm does,
/// unless `keep_dtypes`. Throws std::invalid_argument for a source that is wrong, or in
/// which there is nothing to quantize or dequantize, std::runtime_error when it cannot
/// write; then nothing is left behind.
ConvertSummary convert_model(
    const ConvertOptions& options, const ConvertProgress& progress);

}  // namespace pupil
