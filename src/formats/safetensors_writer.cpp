#include "formats/safetensors_writer.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace pupil {
namespace {

// Data start at a multiple of 8 bytes.
size_t padded(size_t bytes) {
  return (bytes + 7) / 8 * 8;
}

std::string header_of(
    const std::vector<SafetensorsWriter::Tensor>& tensors,
    const std::map<std::string, std::string>& metadata) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t data_bytes = 0;
  for (const auto& tensor : tensors) {
    uint64_t end = data_bytes + tensor.bytes;
    header[tensor.name] = {
        {"dtype", tensor.dtype},
        {"shape", tensor.shape},
        {"data_offsets", {data_bytes, end}}};
    data_bytes = end;
  }
  return header.dump();
}

uint64_t bytes_of(const std::vector<SafetensorsWriter::Tensor>& tensors) {
  uint64_t bytes = 0;
  for (const auto& tensor : tensors) bytes += tensor.bytes;
  return bytes;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(
    const std::string& path,
    const std::vector<Tensor>& tensors,
    const std::map<std::string, std::string>& metadata)
    : SafetensorsWriter(path, header_of(tensors, metadata).size(), metadata) {
  tensors_ = tensors;
}

SafetensorsWriter::SafetensorsWriter(
    const std::string& path,
    size_t header_room,
    const std::map<std::string, std::string>& metadata)
    : path_(path),
      metadata_(metadata),
      header_room_(padded(header_room)),
      file_(path, OldBytes::dropped) {
  file_.append(std::string(8 + header_room_, ' '));
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
  if (auto expected = bytes_of(tensors_); written_ != expected) {
    throw std::logic_error(
        "[safetensors] " + path_ + ": expected " + std::to_string(expected) +
        " bytes of data, wrote " + std::to_string(written_));
  }
  write_header();
  file_.sync();
}

// Into the room that was left for it: what it does not fill are blanks, which the
// format allows behind it.
void SafetensorsWriter::write_header() {
  auto header = header_of(tensors_, metadata_);
  if (header.size() > header_room_)
    throw std::logic_error("[safetensors] " + path_ + ": no room for the header");
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  for (int i = 0; i < 8; ++i) file.put(static_cast<char>(header_room_ >> (8 * i)));
  file << header << std::flush;
  if (!file)
    throw std::runtime_error("[safetensors] " + path_ + ": cannot write the header");
}

}  // namespace pupil
