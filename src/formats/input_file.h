// A read-only file by its descriptor, for the readers of untrusted formats: every read
// is checked against the size that the file had when it was opened.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pupil {

/// Owns the descriptor; movable. Reads are positional, so many threads may share it.
class InputFile {
 public:
  /// Throws std::invalid_argument "[where] path: ..." if `path` is no readable regular
  /// file.
  InputFile(std::string where, std::string path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  /// Reads exactly `count` bytes from `offset`. Throws std::invalid_argument when the
  /// range is not inside the file, std::runtime_error when reading fails.
  void read(uint64_t offset, void* bytes, size_t count) const;

  /// Throws std::invalid_argument "[where] path: what".
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string where_, path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// `text` is well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

}  // namespace pupil
