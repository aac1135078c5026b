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

  /// Creates `path`, or empties what a crash left there, for these; the data follow in
  /// their order.
  SafetensorsWriter(
      const std::string& path,
      const std::vector<Tensor>& tensors,
      const std::map<std::string, std::string>& metadata);

  /// For tensors that become known one by one, by `add`: the data begin behind
  /// `header_room` bytes, which the header has to fit into.
  SafetensorsWriter(
      const std::string& path,
      size_t header_room,
      const std::map<std::string, std::string>& metadata);

  /// One more tensor; its data are what is appended next.
  void add(Tensor tensor) { tensors_.push_back(std::move(tensor)); }

  /// The next tensor's data. Throws std::runtime_error, for a full disk above all.
  void append(const void* bytes, size_t count);

  /// To be called last: checks that the file is complete, writes the header, and
  /// flushes the file to the disk.
  void finish();

 private:
  void write_header();

  std::string path_;
  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> tensors_;
  size_t header_room_;
  AppendFile file_;
  uint64_t written_ = 0;  // bytes of data
};

}  // namespace pupil
