#include "formats/staged_directory.h"

#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <utility>

#include "base/file.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

bool holds_model(const fs::path& dir) {
  if (!fs::exists(dir / "config.json")) return false;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".safetensors") return true;
  }
  return false;
}

void check_place(const fs::path& target, Existing existing) {
  if (!fs::exists(fs::symlink_status(target))) return;
  auto fail = [&](const std::string& what) {
    throw std::invalid_argument("[write] " + target.string() + ": " + what);
  };
  if (!fs::is_directory(target)) fail("exists and is no directory");
  if (fs::is_empty(target)) return;
  if (existing == Existing::never)
    fail("exists and is not empty: name a new directory");
  if (!holds_model(target)) fail("exists and holds something else than a model");
  if (existing == Existing::refuse) fail("exists; replace it with --force");
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

void check_target(const std::string& target, Existing existing) {
  check_place(without_trailing_slash(target), existing);
}

StagedDirectory::StagedDirectory(std::string target, Existing existing)
    : target_(without_trailing_slash(std::move(target))) {
  check_place(target_, existing);
  staging_ = target_ + ".partial-" + std::to_string(::getpid());
  std::error_code error;
  fs::remove_all(staging_, error);
  fs::create_directories(staging_, error);
  if (error) {
    throw std::runtime_error(
        "[write] " + staging_ + ": cannot create: " + error.message());
  }
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;  // nothing is lost if a temporary directory stays
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
}

void StagedDirectory::commit() {
  sync_path(staging_);
  replace_folder(staging_, target_);
  staging_.clear();
}

}  // namespace pupil
