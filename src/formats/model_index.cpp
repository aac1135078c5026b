#include "formats/model_index.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/json_depth.h"
#include "base/quote.h"
#include "formats/input_file.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr uint64_t kLongestIndex = 64 << 20;

std::set<std::string> names_in_index(const fs::path& path) {
  InputFile file("model", path);
  if (file.size() > kLongestIndex) file.fail("an index of more than 64 MB");
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  if (is_nested_too_deep(text)) file.fail(kNestedTooDeep);
  auto index = json_or_discarded(text);
  if (!index.is_object() || !index.contains("weight_map") ||
      !index["weight_map"].is_object()) {
    file.fail("expected a JSON object with an object \"weight_map\"");
  }
  std::set<std::string> names;
  for (const auto& [tensor, name] : index["weight_map"].items()) {
    if (!name.is_string())
      file.fail("weight_map of " + in_quotes(tensor) + " is no name");
    names.insert(name);
  }
  if (names.empty()) file.fail("weight_map is empty");
  for (const auto& name : names) {
    bool plain = !name.empty() && name != "." && name != ".." &&
                 name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
    if (!plain) file.fail("expected a plain file name, got " + in_quotes(name));
  }
  return names;
}

std::set<std::string> names_by_pattern(const fs::path& dir) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) {
    std::string name = entry.path().filename();
    if (name.starts_with("model") && name.ends_with(".safetensors")) names.insert(name);
  }
  return names;
}

bool is_inside(const fs::path& file, const fs::path& folder) {
  auto [end, _] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return end == folder.end();
}

// The file's path, once it is known to exist where it may.
std::string checked(const fs::path& dir, const std::string& name) {
  fs::path path = dir / name;
  std::error_code error;
  fs::path target = fs::canonical(path, error);
  if (error || !fs::is_regular_file(target, error)) {
    throw std::invalid_argument(
        "[model] " + path.string() + ": expected a file; download it again");
  }
  fs::path home = fs::canonical(dir);
  fs::path blobs = fs::weakly_canonical(home / "../../blobs");
  if (!is_inside(target, home) && !is_inside(target, blobs)) {
    throw std::invalid_argument(
        "[model] " + path.string() + ": a link that leads out of the directory, to " +
        target.string());
  }
  return path;
}

}  // namespace

std::vector<std::string> model_shards(const std::string& dir) {
  fs::path root = dir;
  if (!fs::is_directory(root)) {
    throw std::invalid_argument("[model] " + dir + ": expected a model directory");
  }
  std::set<std::string> names;
  if (fs::exists(fs::symlink_status(root / kSingle))) {
    names.insert(std::string(kSingle));
  } else if (fs::exists(root / kIndex)) {
    names = names_in_index(root / kIndex);
  } else {
    names = names_by_pattern(root);
  }
  if (names.empty()) {
    throw std::invalid_argument(
        "[model] " + dir + ": expected model.safetensors, got no safetensors file");
  }
  std::vector<std::string> paths;
  for (const auto& name : names) paths.push_back(checked(root, name));
  return paths;
}

}  // namespace pupil
