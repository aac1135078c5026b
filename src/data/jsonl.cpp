#include "data/jsonl.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace pupil {
namespace {

using nlohmann::json;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

/// The bytes that a character starting with `lead` takes, 0 for no valid start.
size_t bytes_of_character(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
  constexpr std::array<uint32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
  for (size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    size_t length = bytes_of_character(lead);
    if (length == 0 || i + length > text.size()) return false;
    uint32_t value = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k) {
      auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      value = value << 6 | (byte & 0x3f);
    }
    bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < kSmallest[length] || value > 0x10ffff || is_surrogate) return false;
    i += length;
  }
  return true;
}

JsonlReader::JsonlReader(const std::string& path) : path_(path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw std::invalid_argument(
        "[" + path + "] expected a JSON Lines file, got a folder");
  }
  file_.open(path, std::ios::binary);
  if (!file_) {
    throw std::invalid_argument(
        "[" + path + "] cannot be opened: " + std::strerror(errno));
  }
}

std::string JsonlReader::where() const {
  return "[" + path_ + ":" + std::to_string(number_) + "] ";
}

bool JsonlReader::read_line() {
  auto* bytes = file_.rdbuf();
  line_.clear();
  int c = bytes->sbumpc();
  if (c == EOF) return false;
  ++number_;
  for (; c != EOF && c != '\n'; c = bytes->sbumpc()) {
    if (line_.size() == kMaxLineBytes) {
      throw std::invalid_argument(
          where() + "line too long, expected at most " + std::to_string(kMaxLineBytes) +
          " bytes");
    }
    line_.push_back(static_cast<char>(c));
  }
  return true;
}

std::optional<json> JsonlReader::next() {
  while (read_line()) {
    if (!is_blank(line_)) return parse_line();
  }
  return std::nullopt;
}

json JsonlReader::parse_line() const {
  if (!is_utf8(line_)) {
    throw std::invalid_argument(
        where() + "not valid UTF-8; save the file in the UTF-8 encoding");
  }
  try {
    json line = json::parse(line_);
    if (line.is_object()) return line;
    throw std::invalid_argument(
        where() + "expected a JSON object, got " + std::string(line.type_name()));
  } catch (const json::parse_error& error) {
    throw std::invalid_argument(
        where() + "not valid JSON at byte " + std::to_string(error.byte) +
        ", expected one object on one line");
  }
}

}  // namespace pupil
