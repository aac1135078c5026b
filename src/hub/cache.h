// Hugging Face's cache of one model, as huggingface_hub lays it out:
//   models--OWNER--MODEL/blobs/HASH               contents
//                        refs/REVISION            the commit it stood for
//                        snapshots/COMMIT/NAME    links to ../../blobs/HASH
//   .locks/models--OWNER--MODEL/HASH.lock         held while a blob is written

#pragma once

#include <filesystem>
#include <string>

#include "hub/listing.h"
#include "hub/name.h"

namespace pupil {

class HubCache {
 public:
  HubCache(const std::filesystem::path& cache, const HubName& name);

  std::filesystem::path blob(const HubFile& file) const;
  std::filesystem::path lock(const HubFile& file) const;
  std::filesystem::path snapshot(const std::string& commit) const;

  /// The content is there, in its size.
  bool has(const std::string& commit, const HubFile& file) const;

  /// Folders for `blob` and `lock`. Throws std::runtime_error.
  void make_folders() const;

  /// Puts the file's link into the snapshot; what is there and fits stays. Throws
  /// std::runtime_error.
  void link(const std::string& commit, const HubFile& file) const;

  /// Notes what the name's revision stands for. Throws std::runtime_error.
  void set_commit(const std::string& commit) const;

  /// The commit of the name's revision; empty: it was never asked for.
  std::string commit() const;

 private:
  std::filesystem::path folder_, locks_;
  std::string revision_;
};

/// The name of the first thing that a conversion lacks in `snapshot`, such as
/// "model.safetensors"; empty: it is whole. Throws std::invalid_argument for an index
/// of shards that is broken.
std::string missing_in(const std::filesystem::path& snapshot);

}  // namespace pupil
