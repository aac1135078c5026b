// A file of rows that a full disk holds up, and does not end a run for.

#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"

namespace pupil {

/// Rows that cannot be written wait in memory, and go before newer ones once there is
/// room. One thread.
class RowFile {
 public:
  /// Opens or creates. Throws std::runtime_error.
  explicit RowFile(const std::filesystem::path& path) : file_(path) {}

  /// Writes what waits and then `bytes`. Returns why it could not, which is empty where
  /// it could. Throws std::runtime_error if half a row is in the file to stay.
  std::string append(std::string_view bytes);

  /// Writes what waits, and all of the file to the disk. Throws std::runtime_error.
  void sync();

  bool waits() const { return !waiting_.empty(); }

 private:
  void write_waiting();

  AppendFile file_;
  std::string waiting_;
};

}  // namespace pupil
