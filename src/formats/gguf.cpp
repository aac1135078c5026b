#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "base/quote.h"
#include "formats/byte_reader.h"

namespace pupil {
namespace {

constexpr uint64_t kMostTensors = 100'000;
constexpr uint64_t kMostKeys = 100'000;
constexpr uint64_t kMostElements = 1 << 23;  // of all metadata arrays together
constexpr uint64_t kLongestName = 1024;
constexpr uint64_t kLongestString = 16 << 20;
constexpr uint64_t kMostDimensions = 4;
constexpr uint64_t kLargestDimension = std::numeric_limits<int32_t>::max();
constexpr uint64_t kLargestAlignment = 1 << 16;

enum class ValueType : uint32_t {
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

// ggml's numbering; empty: withdrawn.
constexpr std::array<std::string_view, 40> kTypeNames = {
    "F32",     "F16",    "Q4_0",    "Q4_1",  "",       "",      "Q5_0",  "Q5_1",
    "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
    "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
    "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16",  "",
    "",        "",       "TQ1_0",   "TQ2_0", "",       "",      "",      "MXFP4"};

std::string type_name(uint32_t type) {
  if (type < kTypeNames.size() && !kTypeNames[type].empty()) {
    return std::string(kTypeNames[type]);
  }
  return std::to_string(type);
}

// One pass over the part of the file before the tensors' data.
class HeaderReader {
 public:
  explicit HeaderReader(const InputFile& file) : file_(file), bytes_(file) {}

  void read(
      std::map<std::string, GgufValue>& metadata, std::vector<GgufTensor>& tensors) {
    read_start();
    for (uint64_t i = 0; i < num_keys_; ++i) read_pair(metadata);
    std::set<std::string> names;
    for (uint64_t i = 0; i < num_tensors_; ++i) {
      tensors.push_back(read_tensor());
      if (!names.insert(tensors.back().name).second) {
        file_.fail("duplicate tensor " + in_quotes(tensors.back().name));
      }
    }
    place(tensors, alignment_of(metadata));
  }

 private:
  void read_start() {
    constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
    if (bytes_.number<uint32_t>() != kMagic) file_.fail("not a GGUF file: wrong magic");
    auto version = bytes_.number<uint32_t>();
    if ((version & 0xffff) == 0) file_.fail("big-endian GGUF files are not supported");
    if (version != 2 && version != 3) {
      file_.fail("version, expected 2 or 3, got " + std::to_string(version));
    }
    num_tensors_ = bytes_.number<uint64_t>();
    num_keys_ = bytes_.number<uint64_t>();
    if (num_tensors_ > kMostTensors) {
      file_.fail(
          "number of tensors, expected at most 100000, got " +
          std::to_string(num_tensors_));
    }
    if (num_keys_ > kMostKeys) {
      file_.fail(
          "number of metadata keys, expected at most 100000, got " +
          std::to_string(num_keys_));
    }
  }

  void read_pair(std::map<std::string, GgufValue>& metadata) {
    auto key = read_name("a metadata key");
    if (metadata.count(key)) file_.fail("duplicate metadata key " + in_quotes(key));
    key_ = key;
    auto type = read_value_type();
    metadata[key] = type == ValueType::array ? read_array() : read_scalar(type);
  }

  std::string read_name(const std::string& what) {
    auto length = bytes_.number<uint64_t>();
    return bytes_.text(length, kLongestName, what);
  }

  std::string where() const { return "metadata " + in_quotes(key_); }

  ValueType read_value_type() {
    auto type = bytes_.number<uint32_t>();
    if (type > static_cast<uint32_t>(ValueType::f64)) {
      file_.fail(where() + " has an unknown value type " + std::to_string(type));
    }
    return static_cast<ValueType>(type);
  }

  int64_t read_integer(ValueType type) {
    switch (type) {
      case ValueType::u8:
        return bytes_.number<uint8_t>();
      case ValueType::i8:
        return bytes_.number<int8_t>();
      case ValueType::u16:
        return bytes_.number<uint16_t>();
      case ValueType::i16:
        return bytes_.number<int16_t>();
      case ValueType::u32:
        return bytes_.number<uint32_t>();
      case ValueType::i32:
        return bytes_.number<int32_t>();
      case ValueType::i64:
        return bytes_.number<int64_t>();
      case ValueType::boolean:
        return read_boolean();
      case ValueType::u64:
        break;
      case ValueType::f32:
      case ValueType::f64:
      case ValueType::string:
      case ValueType::array:
        file_.fail(where() + " is no integer");
    }
    auto value = bytes_.number<uint64_t>();
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      file_.fail(where() + ", expected below 2^63, got " + std::to_string(value));
    }
    return static_cast<int64_t>(value);
  }

  int64_t read_boolean() {
    auto value = bytes_.number<uint8_t>();
    if (value > 1) {
      file_.fail(where() + ", expected a boolean 0 or 1, got " + std::to_string(value));
    }
    return value;
  }

  double read_float(ValueType type) {
    return type == ValueType::f32 ? bytes_.number<float>() : bytes_.number<double>();
  }

  std::string read_string() {
    auto length = bytes_.number<uint64_t>();
    return bytes_.text(length, kLongestString, where());
  }

  static bool is_float(ValueType type) {
    return type == ValueType::f32 || type == ValueType::f64;
  }

  GgufValue read_scalar(ValueType type) {
    if (type == ValueType::string) return read_string();
    if (is_float(type)) return read_float(type);
    return read_integer(type);
  }

  GgufValue read_array() {
    auto type = read_value_type();
    auto count = bytes_.number<uint64_t>();
    if (type == ValueType::array) file_.fail(where() + " is an array of arrays");
    if (count > kMostElements - num_elements_) {
      file_.fail(where() + " has too many elements: " + std::to_string(count));
    }
    num_elements_ += count;
    if (type == ValueType::string) {
      return read_elements<std::string>(count, [&] { return read_string(); });
    }
    if (is_float(type)) {
      return read_elements<double>(count, [&] { return read_float(type); });
    }
    return read_elements<int64_t>(count, [&] { return read_integer(type); });
  }

  // Grows as it reads: a false count ends at the end of the file, not in memory.
  template <class T, class Read>
  std::vector<T> read_elements(uint64_t count, Read read) {
    std::vector<T> elements;
    for (uint64_t i = 0; i < count; ++i) elements.push_back(read());
    return elements;
  }

  GgufTensor read_tensor() {
    GgufTensor tensor;
    tensor.name = read_name("a tensor's name");
    auto rank = bytes_.number<uint32_t>();
    if (rank < 1 || rank > kMostDimensions) {
      file_.fail(
          "tensor " + in_quotes(tensor.name) + ", expected 1 to 4 dimensions, got " +
          std::to_string(rank));
    }
    for (uint32_t i = 0; i < rank; ++i)
      tensor.shape.push_back(read_dimension(tensor.name));
    std::reverse(
        tensor.shape.begin(), tensor.shape.end());  // the file is innermost first
    tensor.type = read_tensor_type(tensor.name);
    tensor.offset = bytes_.number<uint64_t>();
    tensor.bytes = size_of(tensor);
    return tensor;
  }

  int64_t read_dimension(const std::string& name) {
    auto dimension = bytes_.number<uint64_t>();
    if (dimension < 1 || dimension > kLargestDimension) {
      file_.fail(
          "tensor " + in_quotes(name) + ", expected dimensions of 1 to 2^31 - 1, got " +
          std::to_string(dimension));
    }
    return static_cast<int64_t>(dimension);
  }

  GgufType read_tensor_type(const std::string& name) {
    auto type = bytes_.number<uint32_t>();
    for (auto known :
         {GgufType::f32,
          GgufType::f16,
          GgufType::bf16,
          GgufType::q4_0,
          GgufType::q4_1,
          GgufType::q5_0,
          GgufType::q5_1,
          GgufType::q8_0,
          GgufType::q4_k,
          GgufType::q5_k,
          GgufType::q6_k}) {
      if (type == static_cast<uint32_t>(known)) return known;
    }
    file_.fail(
        "tensor " + in_quotes(name) + " has type " + type_name(type) +
        ", expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K");
  }

  uint64_t size_of(const GgufTensor& tensor) {
    auto [block_size, block_bytes] = gguf_layout(tensor.type);
    if (tensor.shape.back() % block_size != 0) {
      file_.fail(
          "tensor " + in_quotes(tensor.name) + ", expected rows of whole blocks of " +
          std::to_string(block_size) + ", got " + std::to_string(tensor.shape.back()));
    }
    uint64_t elements = 1;
    for (int64_t dimension : tensor.shape) {
      // 2^48 elements of 4 bytes stay inside 64 bits.
      if (elements > (uint64_t{1} << 48) / static_cast<uint64_t>(dimension)) {
        file_.fail("tensor " + in_quotes(tensor.name) + " has too many elements");
      }
      elements *= static_cast<uint64_t>(dimension);
    }
    return elements / block_size * block_bytes;
  }

  uint64_t alignment_of(const std::map<std::string, GgufValue>& metadata) {
    auto found = metadata.find("general.alignment");
    if (found == metadata.end()) return 32;
    const auto* value = std::get_if<int64_t>(&found->second);
    if (!value || *value < 8 || *value > static_cast<int64_t>(kLargestAlignment) ||
        (*value & (*value - 1)) != 0) {
      file_.fail("general.alignment, expected a power of two from 8 to 65536");
    }
    return static_cast<uint64_t>(*value);
  }

  // Turns offsets from the start of the data into offsets in the file, once each tensor
  // is known to be aligned, inside the file and apart from the others.
  void place(std::vector<GgufTensor>& tensors, uint64_t alignment) {
    std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
      return a.offset < b.offset;
    });
    uint64_t data = (bytes_.position() + alignment - 1) / alignment * alignment;
    uint64_t held = data > file_.size() ? 0 : file_.size() - data;
    uint64_t end = 0;
    for (auto& tensor : tensors) {
      auto name = "tensor " + in_quotes(tensor.name);
      if (tensor.offset % alignment != 0) {
        file_.fail(name + " is not aligned: offset " + std::to_string(tensor.offset));
      }
      if (tensor.offset < end) file_.fail(name + " overlaps the one before it");
      if (tensor.offset > held || tensor.bytes > held - tensor.offset) {
        file_.fail(
            "truncated: " + name + ", expected " + std::to_string(tensor.bytes) +
            " bytes at " + std::to_string(tensor.offset) + " of the data, got " +
            std::to_string(held) + " bytes of data");
      }
      end = tensor.offset + tensor.bytes;
      tensor.offset += data;
    }
  }

  const InputFile& file_;
  ByteReader bytes_;
  uint64_t num_tensors_ = 0, num_keys_ = 0, num_elements_ = 0;
  std::string key_;  // being read
};

}  // namespace

std::string gguf_type_name(GgufType type) {
  return type_name(static_cast<uint32_t>(type));
}

GgufLayout gguf_layout(GgufType type) {
  switch (type) {
    case GgufType::f32:
      return {1, 4};
    case GgufType::f16:
      return {1, 2};
    case GgufType::bf16:
      return {1, 2};
    case GgufType::q4_0:
      return {32, 18};
    case GgufType::q4_1:
      return {32, 20};
    case GgufType::q5_0:
      return {32, 22};
    case GgufType::q5_1:
      return {32, 24};
    case GgufType::q8_0:
      return {32, 34};
    case GgufType::q4_k:
      return {256, 144};
    case GgufType::q5_k:
      return {256, 176};
    case GgufType::q6_k:
      return {256, 210};
  }
  return {};
}

GgufFile::GgufFile(const std::string& path) : file_("gguf", path) {
  HeaderReader(file_).read(metadata_, tensors_);
}

std::vector<std::byte> GgufFile::read(const GgufTensor& tensor) const {
  std::vector<std::byte> bytes(tensor.bytes);
  file_.read(tensor.offset, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace pupil
