// Models of a known shape with random weights: what a speed depends on, without a
// download.

#pragma once

#include <string>
#include <vector>

#include "nn/parameters.h"

namespace pupil {

/// The names that `write_random_model` knows: "qwen2.5-0.5b", ...
std::vector<std::string> model_shape_names();

/// Writes a model directory of that shape, its linears and embedding packed. The
/// tokenizer knows a few words only: ids go in and out, not text. The directory is to
/// be empty. Throws std::invalid_argument for an unknown name.
void write_random_model(
    const std::string& name, const Quantization& packing, const std::string& dir);

/// Such a model in a temporary directory that is gone with this object.
class TemporaryModel {
 public:
  /// Throws std::runtime_error if there is no place for it.
  TemporaryModel(const std::string& shape, const Quantization& packing);
  ~TemporaryModel();
  TemporaryModel(const TemporaryModel&) = delete;
  TemporaryModel& operator=(const TemporaryModel&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace pupil
