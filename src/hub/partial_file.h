// A file that grows as its bytes come from the hub, and the hash of what it has.

#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"
#include "hub/listing.h"

namespace pupil {

/// One thread.
class PartialFile {
 public:
  /// Opens or creates `path` and reads what an earlier download left there. Throws
  /// std::runtime_error.
  PartialFile(std::filesystem::path path, const HubFile& expected);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  int64_t size() const { return size_; }

  /// Throws std::runtime_error where there are more than the file has, which removes
  /// it, or the disk does not take them.
  void append(std::string_view bytes);

  /// Throws all away.
  void restart();

  /// Gives the whole file its name, durably. Throws std::runtime_error, and removes it,
  /// if its bytes are not those of the listing.
  void finish(const std::filesystem::path& name);

 private:
  struct Digest;

  void read_back();

  std::filesystem::path path_;
  HubFile expected_;
  UniqueFd file_;
  int64_t size_ = 0;
  std::unique_ptr<Digest> digest_;
};

}  // namespace pupil
