#include "formats/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace pupil {
namespace {

// The header as text, padded so that the data start at a multiple of 8 bytes.
std::string header_of(
    const std::vector<SafetensorsWriter::Tensor>& tensors,
    const std::map<std::string, std::string>& metadata,
    uint64_t& data_bytes) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  data_bytes = 0;
  for (const auto& tensor : tensors) {
    uint64_t end = data_bytes + tensor.bytes;
    header[tensor.name] = {
        {"dtype", tensor.dtype},
        {"shape", tensor.shape},
        {"data_offsets", {data_bytes, end}}};
    data_bytes = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(
    const std::string& path,
    const std::vector<Tensor>& tensors,
    const std::map<std::string, std::string>& metadata)
    : path_(path), file_(path) {
  uint64_t data_bytes = 0;
  std::string header = header_of(tensors, metadata, data_bytes);
  std::string length;
  for (int i = 0; i < 8; ++i) length += static_cast<char>(header.size() >> (8 * i));
  append(length.data(), length.size());
  append(header.data(), header.size());
  expected_ = written_ + data_bytes;
}

void SafetensorsWriter::append(const void* bytes, size_t count) {
  constexpr size_t kPiece = size_t{1} << 30;  // below what one system call may write
  const auto* from = static_cast<const char*>(bytes);
  for (size_t done = 0; done < count; done += kPiece) {
    file_.append({from + done, std::min(kPiece, count - done)});
  }
  written_ += count;
}

void SafetensorsWriter::finish() {
  if (written_ != expected_) {
    throw std::logic_error(
        "[safetensors] " + path_ + ": expected " + std::to_string(expected_) +
        " bytes, wrote " + std::to_string(written_));
  }
  file_.sync();
}

}  // namespace pupil
