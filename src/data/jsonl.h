// JSON Lines files that nobody has checked yet, read with bounded memory.

#pragma once

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace pupil {

/// Reads the objects of a JSON Lines file one by one: UTF-8, one object a line, blank
/// lines skipped, CR LF accepted. Its errors are std::invalid_argument and begin with
/// "[path:line]". One thread.
class JsonlReader {
 public:
  static constexpr size_t kMaxLineBytes = 1u << 20;

  /// Throws if `path` is not a file that can be read.
  explicit JsonlReader(const std::string& path);

  /// The next line's object, none after the last. Throws if the line is longer than
  /// kMaxLineBytes, not UTF-8, not JSON or not an object.
  std::optional<nlohmann::json> next();

  /// The number of the line that `next` returned last, counted from 1.
  int line_number() const { return number_; }

  /// "[path:line] ", with which an error about that line begins.
  std::string where() const;

 private:
  bool read_line();
  nlohmann::json parse_line() const;

  std::string path_;
  std::ifstream file_;
  std::string line_;
  int number_ = 0;
};

}  // namespace pupil
