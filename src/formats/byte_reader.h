// Little-endian numbers and strings from a file, front to back.

#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "formats/input_file.h"

namespace pupil {

/// Reads through a buffer of its own. Past the end of the file it throws
/// std::invalid_argument ("truncated").
class ByteReader {
 public:
  explicit ByteReader(const InputFile& file) : file_(file) {}

  uint64_t position() const { return buffer_begin_ + next_; }
  uint64_t remaining() const { return file_.size() - position(); }

  template <class T>
  T number() {
    static_assert(std::is_arithmetic_v<T>);
    static_assert(std::endian::native == std::endian::little);
    T value;
    take(&value, sizeof(T));
    return value;
  }

  /// A string of `length` bytes of UTF-8. `what` names it in errors.
  std::string text(uint64_t length, uint64_t longest, const std::string& what) {
    if (length > longest || length > remaining()) {
      file_.fail(
          "length of " + what + ", expected at most " +
          std::to_string(std::min(longest, remaining())) + ", got " +
          std::to_string(length));
    }
    std::string value(length, '\0');
    take(value.data(), value.size());
    if (!is_utf8(value)) file_.fail(what + " is not UTF-8");
    return value;
  }

 private:
  void take(void* to, size_t count) {
    auto* bytes = static_cast<char*>(to);
    while (count > 0) {
      if (next_ == buffer_.size()) fill(count);
      size_t part = std::min(count, buffer_.size() - next_);
      std::memcpy(bytes, buffer_.data() + next_, part);
      bytes += part, next_ += part, count -= part;
    }
  }

  void fill(size_t wanted) {
    constexpr uint64_t kBuffer = 1 << 20;
    buffer_begin_ += buffer_.size();
    next_ = 0;
    uint64_t left = file_.size() - buffer_begin_;
    // With nothing left, read what is missing: the file says where it is truncated.
    buffer_.resize(left == 0 ? wanted : std::min(kBuffer, left));
    file_.read(buffer_begin_, buffer_.data(), buffer_.size());
  }

  const InputFile& file_;
  std::vector<char> buffer_;
  uint64_t buffer_begin_ = 0;
  size_t next_ = 0;
};

}  // namespace pupil
