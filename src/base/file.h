// Files that must survive a crash: whole or not at all. Linux and macOS.

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace pupil {

/// The bytes of a regular file. Throws std::invalid_argument if it cannot be read or is
/// larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = 1u << 28);

/// As much of a file as can be read, or nothing; throws for no trouble with the file.
/// For what may vanish or fail under the reader, as everything in /proc does.
std::string read_available(const std::filesystem::path& path);

/// Replaces `path` by `content`: written beside it, synced, renamed over it, and the
/// folder synced. On failure the old file stands, the temporary one is gone, and
/// std::runtime_error says why ("no space left on device", ...).
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Makes a file's or folder's content durable. Throws std::runtime_error.
void sync_path(const std::filesystem::path& path);

/// Renames a file or folder and makes the rename durable. Throws std::runtime_error.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Gives the folder `made` the name `target`, durably. What stands there is moved aside
/// first, put back if that fails, and removed last. Throws std::exception.
void replace_folder(
    const std::filesystem::path& made, const std::filesystem::path& target);

/// What becomes of the bytes that a file has when it is opened.
enum class OldBytes { kept, dropped };

/// Text appended line by line. Each line is one write, so a crash can only cut the
/// last. One thread.
class AppendFile {
 public:
  /// Opens or creates. Throws std::runtime_error.
  explicit AppendFile(std::filesystem::path path, OldBytes old = OldBytes::kept);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Adds `bytes`. Throws std::runtime_error, after taking back a partial write.
  void append(std::string_view bytes);
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_;
};

/// Holds an exclusive lock on a file from construction on, until destruction or the end
/// of the process, however it ends.
class FileLock {
 public:
  /// Creates the file if there is none. Throws std::runtime_error, naming the holder's
  /// process id, if another process holds the lock.
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace pupil
