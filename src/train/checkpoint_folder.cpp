#include "train/checkpoint_folder.h"

#include <iterator>
#include <stdexcept>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr const char* kFiles[] = {
    "adapters.safetensors",
    "adapter_config.json",
    "optimizer.safetensors",
    "state.json"};
constexpr const char* kAverageFiles[] = {
    "ema/adapters.safetensors", "ema/adapter_config.json"};

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names(std::begin(kFiles), std::end(kFiles));
  if (fs::exists(folder / "ema"))
    names.insert(names.end(), std::begin(kAverageFiles), std::end(kAverageFiles));
  return names;
}

nlohmann::ordered_json manifest_of(const fs::path& folder) {
  nlohmann::ordered_json files;
  for (const auto& name : files_in(folder)) {
    Sha256 digest;
    auto size = digest.file(folder / name);
    files[name] = {{"size", size}, {"sha256", digest.hex()}};
  }
  return {{"version", 1}, {"files", files}};
}

std::string text_of(const nlohmann::ordered_json& json) {
  return json.dump(2) + "\n";
}

[[noreturn]] void refuse(const std::string& name) {
  throw std::runtime_error(name + " is not what was written");
}

}  // namespace

void write_synced(const fs::path& path, std::string_view text) {
  AppendFile file(path, OldBytes::dropped);
  file.append(text);
  file.sync();
}

void write_manifest(const fs::path& folder) {
  write_synced(folder / kManifest, text_of(manifest_of(folder)));
}

void verify(const fs::path& folder) {
  auto path = folder / kManifest;
  auto manifest = read_json_file(path.string());
  const auto& files = manifest.at("files");
  // Sizes first: they cost nothing.
  for (const auto& name : files_in(folder)) {
    if (files.at(name).at("size") != fs::file_size(folder / name)) refuse(name);
  }
  auto actual = manifest_of(folder);
  for (const auto& [name, file] : actual["files"].items()) {
    if (files.at(name) != file) refuse(name);
  }
  // As text, so that any changed byte of it shows.
  if (read_file(path) != text_of(actual)) refuse(kManifest);
}

bool verifies(const fs::path& folder) {
  try {
    verify(folder);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void put_in_place(const fs::path& made, const fs::path& target) {
  bool says_the_same =
      verifies(target) && read_file(made / kManifest) == read_file(target / kManifest);
  if (says_the_same)
    fs::remove_all(made);
  else
    replace_folder(made, target);
}

}  // namespace pupil
