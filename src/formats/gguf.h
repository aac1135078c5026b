// Reads GGUF files, versions 2 and 3: metadata and the tensor types listed in GgufType.
// A file is hostile until read: every count, size, offset and string is bounded by the
// file before anything is allocated for it. Nothing is mapped, so that a file that is
// cut while we read is an error and not a signal. Format:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/quote.h"
#include "formats/input_file.h"

namespace pupil {

/// Block formats of 32 weights w, with f16 d and m (ggml-common.h):
///   q4_0: d, 16 bytes                w = d * (q - 8)
///   q4_1: d, m, 16 bytes             w = d * q + m
///   q5_0: d, 32 bits, 16 bytes       w = d * (q - 16)
///   q5_1: d, m, 32 bits, 16 bytes    w = d * q + m
///   q8_0: d, 32 signed bytes         w = d * q
/// Byte i of a 4- or 5-bit block holds the low four bits of weight i in its low half
/// and those of weight i + 16 in its high; bit i of the 32 is the fifth of weight i.
/// The super-blocks of 256 weights, q4_k, q5_k and q6_k, are in gguf_superblocks.h.
enum class GgufType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30
};

/// A type's name as GGUF tools print it ("Q4_1").
std::string gguf_type_name(GgufType type);

/// `block_size` weights take `block_bytes` bytes; a row holds whole blocks.
struct GgufLayout {
  int block_size;
  int block_bytes;
};
GgufLayout gguf_layout(GgufType type);

struct GgufTensor {
  std::string name;
  GgufType type;
  std::vector<int64_t> shape;  // outermost first, 1 to 4 dimensions of 1 to 2^31 - 1
  uint64_t offset;             // in the file
  uint64_t bytes;
};

/// Integers and booleans of every width are int64_t, floats double.
using GgufValue = std::variant<
    int64_t,
    double,
    std::string,
    std::vector<int64_t>,
    std::vector<double>,
    std::vector<std::string>>;

class GgufFile {
 public:
  /// Reads and checks everything but the tensors' data. Throws std::invalid_argument
  /// "[gguf] path: what, expected X, got Y" for a malformed file, and for a tensor of
  /// another type, naming both.
  explicit GgufFile(const std::string& path);

  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // by offset
  const std::string& path() const { return file_.path(); }

  /// The value of `key` as a T of GgufValue, nullptr if there is none. Throws
  /// std::invalid_argument if it has another type (an integer is no float).
  template <class T>
  const T* find(const std::string& key) const {
    auto found = metadata_.find(key);
    if (found == metadata_.end()) return nullptr;
    if (const T* value = std::get_if<T>(&found->second)) return value;
    fail("metadata " + in_quotes(key) + " has an unexpected type");
  }

  /// The same, but a missing key is an error too.
  template <class T>
  const T& get(const std::string& key) const {
    if (const T* value = find<T>(key)) return *value;
    fail("metadata " + in_quotes(key) + " is missing");
  }

  /// The bytes of a tensor of this file, as it stores them.
  std::vector<std::byte> read(const GgufTensor& tensor) const;

  [[noreturn]] void fail(const std::string& what) const { file_.fail(what); }

 private:
  InputFile file_;
  std::map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace pupil
