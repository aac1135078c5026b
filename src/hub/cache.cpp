#include "hub/cache.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "base/file.h"
#include "base/json.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

void create(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return;
  throw std::runtime_error(
      "[hub] " + folder.string() + ": cannot create it: " + error.message() +
      "; HF_HOME names another place for the cache");
}

// Links are followed; a link to nothing has no size.
bool has_size(const fs::path& path, int64_t size) {
  std::error_code error;
  return fs::is_regular_file(path, error) &&
         fs::file_size(path, error) == static_cast<uint64_t>(size) && !error;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// The shards of an index that are not there, one of them.
std::string missing_shard(const fs::path& snapshot, const fs::path& index) {
  auto json = read_json_file(index);
  auto map = json.is_object() ? json.value("weight_map", nlohmann::json()) : json;
  for (const auto& [_, name] : map.items()) {
    if (!name.is_string() || name.get<std::string>().find('/') != std::string::npos) {
      throw std::invalid_argument(
          "[hub] " + index.string() + ": expected plain file names in weight_map");
    }
    if (!is_there(snapshot / name.get<std::string>())) return name;
  }
  return "";
}

bool has_shards(const fs::path& snapshot) {
  for (const auto& entry : fs::directory_iterator(snapshot)) {
    std::string name = entry.path().filename();
    if (name.starts_with("model") && name.ends_with(".safetensors")) return true;
  }
  return false;
}

std::string missing_weights(const fs::path& snapshot) {
  if (is_there(snapshot / "model.safetensors")) return "";
  auto index = snapshot / "model.safetensors.index.json";
  if (is_there(index)) return missing_shard(snapshot, index);
  return has_shards(snapshot) ? "" : "model.safetensors";
}

}  // namespace

HubCache::HubCache(const fs::path& cache, const HubName& name)
    : revision_(name.revision) {
  auto folder = "models--" + name.owner + "--" + name.model;
  folder_ = cache / folder;
  locks_ = cache / ".locks" / folder;
}

fs::path HubCache::blob(const HubFile& file) const {
  return folder_ / "blobs" / file.blob;
}

fs::path HubCache::lock(const HubFile& file) const {
  return locks_ / (file.blob + ".lock");
}

fs::path HubCache::snapshot(const std::string& commit) const {
  return folder_ / "snapshots" / commit;
}

bool HubCache::has(const std::string& commit, const HubFile& file) const {
  return has_size(blob(file), file.size) ||
         has_size(snapshot(commit) / file.name, file.size);
}

void HubCache::make_folders() const {
  create(folder_ / "blobs");
  create(locks_);
}

void HubCache::link(const std::string& commit, const HubFile& file) const {
  auto path = snapshot(commit) / file.name;
  if (has_size(path, file.size)) return;
  create(path.parent_path());
  fs::path temporary = path.string() + ".tmp." + std::to_string(::getpid());
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink("../../blobs/" + file.blob, temporary, error);
  if (error) {
    throw std::runtime_error(
        "[hub] " + path.string() + ": cannot link it to its blob: " + error.message());
  }
  rename_durably(temporary, path);
}

void HubCache::set_commit(const std::string& commit) const {
  if (revision_ == commit) return;  // a commit needs no name
  auto path = folder_ / "refs" / revision_;
  if (read_available(path) == commit) return;  // the cache may be one to be read only
  create(path.parent_path());
  write_file_atomically(path, commit);
}

std::string HubCache::commit() const {
  auto text = read_available(folder_ / "refs" / revision_);
  text.resize(std::min(text.size(), text.find('\n')));
  if (is_hex(text, kCommitDigits)) return text;
  return is_hex(revision_, kCommitDigits) ? revision_ : "";
}

std::string missing_in(const fs::path& snapshot) {
  std::error_code error;
  if (!fs::is_directory(snapshot, error)) return "config.json";
  if (!is_there(snapshot / "config.json")) return "config.json";
  bool has_tokenizer =
      is_there(snapshot / "tokenizer.json") ||
      (is_there(snapshot / "vocab.json") && is_there(snapshot / "merges.txt"));
  if (!has_tokenizer) return "tokenizer.json";
  return missing_weights(snapshot);
}

}  // namespace pupil
