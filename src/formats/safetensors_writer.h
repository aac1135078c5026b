// Writes a safetensors file tensor by tensor, so that only one is in memory.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"

namespace pupil {

class SafetensorsWriter {
 public:
  struct Tensor {
    std::string name, dtype;
    std::vector<int64_t> shape;
    uint64_t bytes;  // of that shape and dtype
  };

  /// Creates `path` and writes the header; the data follow in the order of `tensors`.
  SafetensorsWriter(
      const std::string& path,
      const std::vector<Tensor>& tensors,
      const std::map<std::string, std::string>& metadata);

  /// The next tensor's data. Throws std::runtime_error, for a full disk above all.
  void append(const void* bytes, size_t count);

  /// To be called last: checks that the file is complete, and flushes it to the disk.
  void finish();

 private:
  std::string path_;
  AppendFile file_;
  uint64_t expected_ = 0, written_ = 0;  // bytes of the whole file
};

}  // namespace pupil
