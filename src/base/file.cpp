#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace pupil {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& what, int error) {
  throw std::runtime_error(
      "[file] " + path.string() + ": " + what + ": " + std::strerror(error));
}

// A descriptor that is closed on every way out. `close` reports late write errors.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags)
      : path_(path), value_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (value_ < 0) fail(path, "cannot open", errno);
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  void close() {
    int result = ::close(value_);
    value_ = -1;
    if (result != 0) fail(path_, "cannot close", errno);
  }

 private:
  fs::path path_;
  int value_;
};

void write_all(int descriptor, const fs::path& path, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot write", errno);
    bytes.remove_prefix(written);
  }
}

void sync_descriptor(int descriptor, const fs::path& path) {
#ifdef __APPLE__
  // fsync there may stop at the drive's cache.
  if (::fcntl(descriptor, F_FULLFSYNC) == 0) return;
#endif
  if (::fsync(descriptor) != 0) fail(path, "cannot sync", errno);
}

// Who only looks whether a run is at work holds its lock for a moment.
bool has_lock(int descriptor) {
  for (int tries = 0; tries < 5; ++tries) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
    ::usleep(10000);
  }
  return false;
}

fs::path parent_of(const fs::path& path) {
  auto parent = path.parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

std::string read_file(const fs::path& path, uint64_t max_bytes) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw std::invalid_argument("[file] " + path.string() + ": no such file");
  }
  auto size = fs::file_size(path, error);
  if (error || size > max_bytes) {
    throw std::invalid_argument(
        "[file] " + path.string() + ": larger than " + std::to_string(max_bytes) +
        " bytes");
  }
  std::ifstream in(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) {
    throw std::invalid_argument("[file] " + path.string() + ": cannot read");
  }
  return bytes;
}

std::string read_available(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text
      << in.rdbuf();  // keeps errors to itself; an iterator over the buffer throws them
  return text.str();
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  fs::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  try {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(file.get(), path, content);
    sync_descriptor(file.get(), path);
    file.close();
    rename_durably(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void sync_path(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  sync_descriptor(file.get(), path);
}

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail(to, "cannot rename to it", errno);
  sync_path(parent_of(to));
}

void replace_folder(const fs::path& made, const fs::path& target) {
  fs::path old = made.string() + ".old";
  bool replaces = fs::exists(target);
  if (replaces) fs::rename(target, old);
  try {
    rename_durably(made, target);
  } catch (...) {
    std::error_code ignored;  // fails where the new one is in place already
    if (replaces) fs::rename(old, target, ignored);
    throw;
  }
  fs::remove_all(old);
}

AppendFile::AppendFile(fs::path path, OldBytes old) : path_(std::move(path)) {
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  if (old == OldBytes::dropped) flags |= O_TRUNC;
  descriptor_ = ::open(path_.c_str(), flags, 0644);
  if (descriptor_ < 0) fail(path_, "cannot open", errno);
}

AppendFile::~AppendFile() {
  ::close(descriptor_);
}

void AppendFile::append(std::string_view bytes) {
  off_t size = ::lseek(descriptor_, 0, SEEK_END);
  try {
    write_all(descriptor_, path_, bytes);
  } catch (...) {
    // Half a line would spoil the file for every reader.
    if (size < 0 || ::ftruncate(descriptor_, size) != 0) {
      std::throw_with_nested(std::runtime_error(
          "[file] " + path_.string() + ": a partial line could not be taken back"));
    }
    throw;
  }
}

void AppendFile::sync() {
  sync_descriptor(descriptor_, path_);
}

FileLock::FileLock(const fs::path& path)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail(path, "cannot open", errno);
  if (has_lock(descriptor_)) {
    auto owner = std::to_string(::getpid()) + "\n";
    if (::ftruncate(descriptor_, 0) == 0) write_all(descriptor_, path, owner);
    return;
  }
  char owner[32] = {};
  ssize_t length = ::pread(descriptor_, owner, sizeof owner - 1, 0);
  ::close(descriptor_);
  std::string holder(owner, length > 0 ? length : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  throw std::runtime_error(
      "[lock] " + parent_of(path).string() + " is in use by process " + holder +
      "; wait for it to end, or choose another folder");
}

FileLock::~FileLock() {
  ::close(descriptor_);
}

}  // namespace pupil
