#include "base/child_errors.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/quote.h"

namespace pupil {

namespace {

constexpr size_t kEndBytes = 2048;
constexpr size_t kFileBytes = 1u << 20;

std::string last_line(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == text.npos) return "";
  text = text.substr(0, end + 1);
  const size_t start = text.rfind('\n');
  return std::string(start == text.npos ? text : text.substr(start + 1));
}

}  // namespace

void ChildErrors::take(std::string& errors) {
  if (errors.empty()) return;
  end_ += errors;
  if (end_.size() > kEndBytes) end_.erase(0, end_.size() - kEndBytes);
  if (!path_.empty() && written_ < kFileBytes) {
    const size_t room = std::min(errors.size(), kFileBytes - written_);
    std::error_code ignored;
    const std::filesystem::path path(path_);
    std::filesystem::create_directories(path.parent_path(), ignored);
    std::ofstream(path, std::ios::app | std::ios::binary)
        .write(errors.data(), static_cast<std::streamsize>(room));
    written_ += room;
  }
  errors.clear();
}

std::string ChildErrors::ending() const {
  const std::string line = last_line(end_);
  return line.empty() ? "" : "; its stderr ends " + in_quotes(line, 200);
}

}  // namespace pupil
