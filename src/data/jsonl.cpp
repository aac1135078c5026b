#include "data/jsonl.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "base/json_depth.h"
#include "formats/input_file.h"

namespace pupil {
namespace {

using nlohmann::json;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

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
  if (is_nested_too_deep(line_)) throw std::invalid_argument(where() + kNestedTooDeep);
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
