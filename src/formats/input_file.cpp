#include "formats/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace pupil {

InputFile::InputFile(std::string where, std::string path)
    : where_(std::move(where)), path_(std::move(path)) {
  // Non-blocking, so that a FIFO cannot hold us up before it is refused.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail(std::string("cannot open: ") + std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail("expected a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : where_(std::move(other.where_)),
      path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

void InputFile::read(uint64_t offset, void* bytes, size_t count) const {
  if (offset > size_ || count > size_ - offset) {
    fail(
        "truncated: expected " + std::to_string(count) + " bytes at " +
        std::to_string(offset) + ", got a file of " + std::to_string(size_));
  }
  auto* to = static_cast<char*>(bytes);
  while (count > 0) {
    ssize_t got = ::pread(descriptor_, to, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw std::runtime_error(
          "[" + where_ + "] " + path_ + ": cannot read: " +
          (got < 0 ? std::strerror(errno) : "the file became shorter while in use"));
    }
    to += got, offset += static_cast<uint64_t>(got), count -= static_cast<size_t>(got);
  }
}

void InputFile::fail(const std::string& what) const {
  throw std::invalid_argument("[" + where_ + "] " + path_ + ": " + what);
}

bool is_utf8(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    unsigned char first = byte(i);
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4) return false;
    if (length > text.size() - i) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    // The second byte's range excludes overlong forms, surrogates and > U+10FFFF.
    if (first == 0xe0 && byte(i + 1) < 0xa0) return false;
    if (first == 0xed && byte(i + 1) > 0x9f) return false;
    if (first == 0xf0 && byte(i + 1) < 0x90) return false;
    if (first == 0xf4 && byte(i + 1) > 0x8f) return false;
    i += length;
  }
  return true;
}

}  // namespace pupil
