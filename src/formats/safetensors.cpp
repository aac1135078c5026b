#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/quote.h"
#include "formats/input_file.h"

namespace pupil {
namespace {

constexpr uint64_t kLongestHeader = 100'000'000;
constexpr size_t kMostTensors = 100'000;
constexpr size_t kHighestRank = 8;
constexpr uint64_t kLargestDimension = std::numeric_limits<int32_t>::max();

// What the array library loads, with the bytes of an element.
constexpr std::pair<std::string_view, uint64_t> kDtypes[] = {
    {"BOOL", 1},
    {"U8", 1},
    {"I8", 1},
    {"F8_E4M3", 1},
    {"U16", 2},
    {"I16", 2},
    {"F16", 2},
    {"BF16", 2},
    {"U32", 4},
    {"I32", 4},
    {"F32", 4},
    {"U64", 8},
    {"I64", 8},
    {"C64", 8}};

uint64_t element_bytes(std::string_view dtype) {
  for (auto [name, bytes] : kDtypes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

// The header's grammar, and nothing more, as events of a streaming JSON parser: a
// document tree would keep the last of two equal keys.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderParser(const InputFile& file, SafetensorsHeader& header)
      : file_(file), header_(header) {}

  bool key(string_t& key) override {
    switch (place_) {
      case Place::top:
        return top_key(key);
      case Place::metadata:
        return metadata_key(key);
      case Place::tensor:
        return tensor_key(key);
      default:
        return wrong("a key");
    }
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::start:
        return go(Place::top);
      case Place::metadata_value:
        return go(Place::metadata);
      case Place::tensor_value:
        return go(Place::tensor);
      default:
        return wrong("an object");
    }
  }

  bool end_object() override {
    if (place_ == Place::tensor) return end_tensor();
    return go(place_ == Place::metadata ? Place::top : Place::end);
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::shape_value) return go(Place::shape);
    if (place_ == Place::offsets_value) return go(Place::offsets);
    return wrong("an array");
  }

  bool end_array() override { return go(Place::tensor); }

  bool string(string_t& value) override {
    if (place_ == Place::metadata_string) {
      header_.metadata[key_] = value;
      return go(Place::metadata);
    }
    if (place_ != Place::dtype_value) return wrong("a string");
    if (element_bytes(value) == 0) {
      file_.fail(
          "tensor " + in_quotes(key_) + " has an unknown dtype " + in_quotes(value));
    }
    tensor_.dtype = value;
    return go(Place::tensor);
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) return dimension(value);
    if (place_ != Place::offsets) return wrong("a number");
    if (offsets_.size() == 2)
      file_.fail(of_tensor("data_offsets", "2 numbers", "more"));
    offsets_.push_back(value);
    return true;
  }

  // MLX, and so mlx-lm, writes null for metadata that is empty.
  bool null() override {
    return place_ == Place::metadata_value ? go(Place::top) : wrong("null");
  }
  bool boolean(bool) override { return wrong("a boolean"); }
  bool number_integer(number_integer_t) override { return wrong("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return wrong("a number that is no integer below 2^64");
  }
  bool binary(binary_t&) override { return wrong("binary data"); }

  bool parse_error(
      std::size_t position,
      const std::string&,
      const nlohmann::json::exception&) override {
    file_.fail(
        "the header is not valid JSON in UTF-8, at its byte " +
        std::to_string(position));
  }

 private:
  enum class Place {
    start,
    top,
    metadata_value,
    metadata,
    metadata_string,
    tensor_value,
    tensor,
    dtype_value,
    shape_value,
    shape,
    offsets_value,
    offsets,
    end
  };

  bool go(Place place) {
    place_ = place;
    return true;
  }

  [[noreturn]] bool wrong(const std::string& got) {
    std::string expected = place_ == Place::start             ? "an object"
                           : place_ == Place::metadata_string ? "a string"
                           : place_ == Place::dtype_value     ? "a string"
                           : place_ == Place::shape_value     ? "an array"
                           : place_ == Place::offsets_value   ? "an array"
                           : place_ == Place::shape           ? "a dimension"
                           : place_ == Place::offsets         ? "an offset"
                                                              : "an object";
    file_.fail(
        "wrong header at " + in_quotes(key_) + ", expected " + expected + ", got " +
        got);
  }

  std::string of_tensor(
      const std::string& what, const std::string& expected, const std::string& got) {
    return what + " of tensor " + in_quotes(key_) + ", expected " + expected +
           ", got " + got;
  }

  bool top_key(const std::string& key) {
    key_ = key;
    if (!names_.insert(key).second) file_.fail("duplicate name " + in_quotes(key));
    if (key == "__metadata__") return go(Place::metadata_value);
    if (header_.tensors.size() == kMostTensors) {
      file_.fail("too many tensors, expected at most " + std::to_string(kMostTensors));
    }
    tensor_ = {};
    offsets_.clear();
    fields_.clear();
    return go(Place::tensor_value);
  }

  bool metadata_key(const std::string& key) {
    key_ = key;
    if (header_.metadata.count(key))
      file_.fail("duplicate metadata key " + in_quotes(key));
    return go(Place::metadata_string);
  }

  bool tensor_key(const std::string& key) {
    if (!fields_.insert(key).second) {
      file_.fail(
          "tensor " + in_quotes(key_) + " has a duplicate key " + in_quotes(key));
    }
    if (key == "dtype") return go(Place::dtype_value);
    if (key == "shape") return go(Place::shape_value);
    if (key == "data_offsets") return go(Place::offsets_value);
    file_.fail("tensor " + in_quotes(key_) + " has an unknown key " + in_quotes(key));
  }

  bool dimension(uint64_t value) {
    if (tensor_.shape.size() == kHighestRank) {
      file_.fail(of_tensor("shape", "at most 8 dimensions", "more"));
    }
    if (value > kLargestDimension) {
      file_.fail(
          of_tensor("shape", "dimensions of at most 2^31 - 1", std::to_string(value)));
    }
    tensor_.shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool end_tensor() {
    if (fields_.size() != 3) {
      file_.fail("tensor " + in_quotes(key_) + " lacks dtype, shape or data_offsets");
    }
    if (offsets_.size() != 2)
      file_.fail(of_tensor("data_offsets", "2 numbers", "fewer"));
    tensor_.name = key_;
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header_.tensors.push_back(std::move(tensor_));
    return go(Place::top);
  }

  const InputFile& file_;
  SafetensorsHeader& header_;
  Place place_ = Place::start;
  std::string key_;  // of the top level, or of the metadata
  std::set<std::string> names_, fields_;
  SafetensorsTensor tensor_{};
  std::vector<uint64_t> offsets_;
};

std::string read_header_text(const InputFile& file) {
  std::array<unsigned char, 8> prefix;
  file.read(0, prefix.data(), prefix.size());
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[i];
  uint64_t longest = std::min(kLongestHeader, file.size() - prefix.size());
  if (length > longest) {
    file.fail(
        "header length, expected at most " + std::to_string(longest) + ", got " +
        std::to_string(length));
  }
  std::string text(length, '\0');
  file.read(prefix.size(), text.data(), text.size());
  if (text.empty() || text[0] != '{') file.fail("the header does not start with '{'");
  // The JSON parser takes a zero byte for the end of its input.
  if (text.find('\0') != text.npos) file.fail("the header contains a zero byte");
  return text;
}

// Bytes of `tensor`. Every dimension is below 2^31, so one bound on the running product
// keeps each multiplication inside 64 bits; a zero may not hide an overflow.
uint64_t checked_bytes(const InputFile& file, const SafetensorsTensor& tensor) {
  uint64_t product = 1;
  bool empty = false;
  for (int64_t dimension : tensor.shape) {
    if (dimension == 0) {
      empty = true;
      continue;
    }
    if (product > (uint64_t{1} << 48) / static_cast<uint64_t>(dimension)) {
      file.fail("shape of tensor " + in_quotes(tensor.name) + " has too many elements");
    }
    product *= static_cast<uint64_t>(dimension);
  }
  return empty ? 0 : product * element_bytes(tensor.dtype);
}

void check_layout(const InputFile& file, SafetensorsHeader& header) {
  auto& tensors = header.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const auto& tensor : tensors) {
    uint64_t bytes = checked_bytes(file, tensor);
    if (tensor.begin != position) {
      file.fail(
          "tensor " + in_quotes(tensor.name) + " starts at the wrong byte, expected " +
          std::to_string(position) + ", got " + std::to_string(tensor.begin));
    }
    if (tensor.end < tensor.begin || tensor.end - tensor.begin != bytes) {
      file.fail(
          "data_offsets of tensor " + in_quotes(tensor.name) + ", expected " +
          std::to_string(bytes) + " bytes, got " + std::to_string(tensor.begin) +
          " to " + std::to_string(tensor.end));
    }
    position = tensor.end;
  }
  if (uint64_t held = file.size() - header.data_begin; position != held) {
    file.fail(
        "the tensors do not fill the file, expected " + std::to_string(position) +
        " bytes of data, got " + std::to_string(held));
  }
}

}  // namespace

SafetensorsHeader read_safetensors_header(const std::string& path) {
  InputFile file("safetensors", path);
  std::string text = read_header_text(file);
  SafetensorsHeader header{{}, {}, 8 + text.size()};
  HeaderParser parser(file, header);
  nlohmann::json::sax_parse(text, &parser);
  check_layout(file, header);
  return header;
}

}  // namespace pupil
