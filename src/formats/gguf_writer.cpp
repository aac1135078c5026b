#include "formats/gguf_writer.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <stdexcept>
#include <type_traits>

#include "formats/input_file.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kAlignment = 32;  // what readers take where no key says otherwise

// Numbers of GGUF's value types.
enum ValueType : uint32_t { kU32 = 4, kI32, kF32, kBool, kString, kArray };

template <class T>
void put(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put(std::string& out, const std::string& text) {
  put<uint64_t>(out, text.size());
  out += text;
}

template <class T>
void put_array(std::string& out, ValueType type, const std::vector<T>& values) {
  put<uint32_t>(out, kArray);
  put<uint32_t>(out, type);
  put<uint64_t>(out, values.size());
  for (const auto& value : values) put(out, value);
}

/// A value behind its type.
struct PutItem {
  std::string& out;

  void operator()(bool value) const {
    put<uint32_t>(out, kBool);
    put<uint8_t>(out, value ? 1 : 0);
  }
  void operator()(uint32_t value) const {
    put<uint32_t>(out, kU32);
    put(out, value);
  }
  void operator()(float value) const {
    put<uint32_t>(out, kF32);
    put(out, value);
  }
  void operator()(const std::string& value) const {
    put<uint32_t>(out, kString);
    put(out, value);
  }
  void operator()(const std::vector<int32_t>& values) const {
    put_array(out, kI32, values);
  }
  void operator()(const std::vector<std::string>& values) const {
    put_array(out, kString, values);
  }
};

uint64_t padding_of(uint64_t bytes) {
  return (kAlignment - bytes % kAlignment) % kAlignment;
}

void append_pieces(AppendFile& file, const char* bytes, uint64_t count) {
  constexpr uint64_t kPiece = uint64_t{1} << 30;  // below what one system call writes
  for (uint64_t done = 0; done < count; done += kPiece) {
    file.append({bytes + done, std::min(kPiece, count - done)});
  }
}

void copy_all(const std::string& from, AppendFile& to) {
  InputFile file("gguf", from);
  std::string piece(uint64_t{16} << 20, '\0');
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    auto count = std::min<uint64_t>(piece.size(), file.size() - at);
    file.read(at, piece.data(), count);
    to.append({piece.data(), count});
  }
}

// A file of that name, which an earlier process may have left, starts empty.
const std::string& removed(const std::string& path) {
  fs::remove(path);
  return path;
}

}  // namespace

GgufWriter::GgufWriter(std::string path)
    : path_(std::move(path)),
      data_path_(path_ + ".data-" + std::to_string(::getpid())),
      partial_path_(path_ + ".partial-" + std::to_string(::getpid())),
      data_(removed(data_path_)) {}

GgufWriter::~GgufWriter() {
  std::error_code ignored;  // nothing is lost if a temporary file stays
  fs::remove(data_path_, ignored);
  fs::remove(partial_path_, ignored);
}

void GgufWriter::add(
    const std::string& name,
    std::vector<int64_t> shape,
    GgufType type,
    std::span<const std::byte> bytes) {
  auto [block_size, block_bytes] = gguf_layout(type);
  uint64_t elements = 1;
  for (int64_t side : shape) elements *= static_cast<uint64_t>(side);
  if (shape.back() % block_size != 0 ||
      elements / block_size * block_bytes != bytes.size()) {
    throw std::logic_error("[gguf] " + name + ": the data are not of this shape");
  }
  tensors_.push_back({name, type, std::move(shape), data_bytes_, bytes.size()});
  append_pieces(data_, reinterpret_cast<const char*>(bytes.data()), bytes.size());
  auto padding = padding_of(bytes.size());
  data_.append(std::string(padding, '\0'));
  data_bytes_ += bytes.size() + padding;
}

std::string GgufWriter::header(const GgufItems& metadata) const {
  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put<uint64_t>(out, tensors_.size());
  put<uint64_t>(out, metadata.size());
  for (const auto& [key, item] : metadata) {
    put(out, key);
    std::visit(PutItem{out}, item);
  }
  for (const auto& tensor : tensors_) {
    put(out, tensor.name);
    put<uint32_t>(out, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      put<uint64_t>(out, static_cast<uint64_t>(tensor.shape[i]));
    }
    put<uint32_t>(out, static_cast<uint32_t>(tensor.type));
    put<uint64_t>(out, tensor.offset);
  }
  return out.append(padding_of(out.size()), '\0');
}

void GgufWriter::finish(const GgufItems& metadata) {
  AppendFile file(removed(partial_path_));
  file.append(header(metadata));
  copy_all(data_path_, file);
  file.sync();
  rename_durably(partial_path_, path_);
}

}  // namespace pupil
