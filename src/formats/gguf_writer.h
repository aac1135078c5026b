// Writes a GGUF file, version 3, tensor by tensor, so that only one is in memory.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"
#include "formats/gguf.h"

namespace pupil {

/// Metadata with the types that GGUF's readers insist on.
using GgufItem = std::variant<
    bool,
    uint32_t,
    float,
    std::string,
    std::vector<int32_t>,
    std::vector<std::string>>;
using GgufItems = std::vector<std::pair<std::string, GgufItem>>;

class GgufWriter {
 public:
  /// Tensors are gathered in a file beside `path`, because the header names their
  /// types.
  explicit GgufWriter(std::string path);
  ~GgufWriter();
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;

  /// The next tensor; `shape` is outermost first, `bytes` what that shape takes in
  /// `type`. Throws std::runtime_error, for a full disk above all.
  void add(
      const std::string& name,
      std::vector<int64_t> shape,
      GgufType type,
      std::span<const std::byte> bytes);

  /// Puts the complete file in place of `path`. To be called last; without it nothing
  /// is left behind. Throws std::runtime_error.
  void finish(const GgufItems& metadata);

 private:
  std::string header(const GgufItems& metadata) const;

  std::string path_, data_path_, partial_path_;
  AppendFile data_;
  std::vector<GgufTensor> tensors_;  // offsets from the start of the data
  uint64_t data_bytes_ = 0;
};

}  // namespace pupil
