#include "base/json.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/json_depth.h"

namespace pupil {

nlohmann::json parse_json(std::string_view text, const std::string& source) {
  if (is_nested_too_deep(text))
    throw std::invalid_argument(source + ": " + kNestedTooDeep);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    throw std::invalid_argument(
        source + ": not valid JSON at byte " + std::to_string(error.byte));
  } catch (const nlohmann::json::out_of_range&) {
    throw std::invalid_argument(source + ": holds a number that is too large");
  }
}

nlohmann::json read_json_file(const std::string& path) {
  constexpr std::uintmax_t kMaxBytes = 256u << 20;
  std::error_code trouble;
  auto bytes = std::filesystem::file_size(path, trouble);
  if (trouble) throw std::invalid_argument("[file] " + path + ": " + trouble.message());
  if (bytes > kMaxBytes) {
    throw std::invalid_argument("[file] " + path + ": larger than 256 MB");
  }
  std::string text(bytes, '\0');
  std::ifstream in(path, std::ios::binary);
  if (!in.read(text.data(), static_cast<std::streamsize>(bytes))) {
    throw std::invalid_argument("[file] " + path + ": cannot be read");
  }
  return parse_json(text, "[file] " + path);
}

}  // namespace pupil
