// Writes GGUF files in memory, good and bad ones.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "formats/gguf.h"

namespace pupil::testing {

/// Little-endian bytes, put one after the other.
struct Bytes {
  std::string text;

  template <class T>
  Bytes& number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    text.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Bytes& string(const std::string& value) {
    number<uint64_t>(value.size());
    text += value;
    return *this;
  }
};

/// A GGUF file under construction. Everything may be set to what no writer would write.
struct GgufBytes {
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;  // outermost first
    uint32_t type;
    std::string data;
    uint64_t place;   // of the data, from their start
    uint64_t offset;  // what the file says of it
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the layout; "general.alignment" is a key of its own
  std::string pairs;
  uint64_t num_pairs = 0;
  std::vector<Tensor> tensors;
  uint64_t num_tensors = 0, data_bytes = 0;

  enum Type : uint32_t {
    u8,
    i8,
    u16,
    i16,
    u32,
    i32,
    f32,
    boolean,
    string,
    array,
    u64,
    i64,
    f64
  };

  GgufBytes& pair(const std::string& key, Type type, const Bytes& value) {
    pairs += Bytes().string(key).number<uint32_t>(type).text + value.text;
    ++num_pairs;
    return *this;
  }
  GgufBytes& set(const std::string& key, uint32_t value) {
    return pair(key, u32, Bytes().number(value));
  }
  GgufBytes& set(const std::string& key, float value) {
    return pair(key, f32, Bytes().number(value));
  }
  GgufBytes& set(const std::string& key, const std::string& value) {
    return pair(key, string, Bytes().string(value));
  }
  GgufBytes& set(const std::string& key, const std::vector<std::string>& values) {
    Bytes bytes;
    bytes.number<uint32_t>(string).number<uint64_t>(values.size());
    for (const auto& value : values) bytes.string(value);
    return pair(key, array, bytes);
  }
  GgufBytes& set(const std::string& key, const std::vector<int32_t>& values) {
    Bytes bytes;
    bytes.number<uint32_t>(i32).number<uint64_t>(values.size());
    for (int32_t value : values) bytes.number(value);
    return pair(key, array, bytes);
  }

  /// Adds a tensor behind the ones that are there.
  GgufBytes& tensor(
      const std::string& name,
      const std::vector<uint64_t>& shape,
      GgufType type,
      const std::string& data) {
    tensors.push_back(
        {name, shape, static_cast<uint32_t>(type), data, data_bytes, data_bytes});
    ++num_tensors;
    data_bytes = rounded(data_bytes + data.size());
    return *this;
  }

  uint64_t rounded(uint64_t bytes) const {
    return (bytes + alignment - 1) / alignment * alignment;
  }

  std::string file() const {
    Bytes bytes;
    bytes.text = magic;
    bytes.number(version).number(num_tensors).number(num_pairs);
    bytes.text += pairs;
    for (const auto& tensor : tensors) {
      bytes.string(tensor.name).number<uint32_t>(tensor.shape.size());
      for (size_t i = tensor.shape.size(); i-- > 0;) bytes.number(tensor.shape[i]);
      bytes.number(tensor.type).number(tensor.offset);
    }
    if (tensors.empty()) return bytes.text;
    const uint64_t start = rounded(bytes.text.size());
    for (const auto& tensor : tensors) {
      uint64_t end = start + tensor.place + tensor.data.size();
      bytes.text.resize(std::max<uint64_t>(bytes.text.size(), end));
      tensor.data.copy(&bytes.text[start + tensor.place], tensor.data.size());
    }
    return bytes.text;
  }
};

}  // namespace pupil::testing
