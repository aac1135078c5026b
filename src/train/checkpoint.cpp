#include "train/checkpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 1ull << 34;
constexpr const char* kFiles[] = {
    "adapters.safetensors",
    "adapter_config.json",
    "optimizer.safetensors",
    "state.json"};

std::string name_of(int step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06d", step);
  return name;
}

using Tensors = std::unordered_map<std::string, mx::array>;

// Names are the paths after "<kind>.", or alone where that is empty. Codes stay uint8,
// all else is float32. Our own writer, as MLX's does not say why a write failed.
void write_tensors(
    const fs::path& path,
    const std::vector<std::string>& names,
    const ArrayKinds& kinds) {
  std::vector<SafetensorsWriter::Tensor> specs;
  std::vector<mx::array> values;
  for (const auto& [kind, arrays] : kinds) {
    for (size_t i = 0; i < names.size(); ++i) {
      bool coded = arrays[i].dtype() == mx::uint8;
      auto type = coded ? mx::uint8 : mx::float32;
      values.push_back(mx::contiguous(mx::astype(arrays[i], type)));
      const auto& value = values.back();
      specs.push_back(
          {kind.empty() ? names[i] : kind + "." + names[i],
           coded ? "U8" : "F32",
           {value.shape().begin(), value.shape().end()},
           value.nbytes()});
    }
  }
  mx::eval(values);
  SafetensorsWriter file(path.string(), specs, {{"format", "mlx"}});
  for (const auto& value : values) file.append(value.data<char>(), value.nbytes());
  file.finish();
}

void write_manifest(const fs::path& folder) {
  nlohmann::ordered_json files;
  for (const char* name : kFiles) {
    auto bytes = read_file(folder / name, kMaxFileBytes);
    files[name] = {{"size", bytes.size()}, {"sha256", sha256_hex(bytes)}};
    sync_path(folder / name);
  }
  nlohmann::ordered_json manifest = {{"version", 1}, {"files", files}};
  write_file_atomically(folder / "manifest.json", manifest.dump(2) + "\n");
  sync_path(folder);
}

void verify(const fs::path& folder) {
  auto manifest = read_json_file((folder / "manifest.json").string());
  const auto& files = manifest.at("files");
  for (const char* name : kFiles) {
    auto bytes = read_file(folder / name, kMaxFileBytes);
    const auto& entry = files.at(name);
    if (bytes.size() != entry.at("size").get<uint64_t>() ||
        sha256_hex(bytes) != entry.at("sha256").get<std::string>()) {
      throw std::runtime_error(std::string(name) + " is not what was written");
    }
  }
}

std::vector<mx::array> take_all(
    Tensors& tensors,
    const std::string& prefix,
    const std::vector<std::string>& paths) {
  std::vector<mx::array> arrays;
  for (const auto& path : paths) {
    auto found = tensors.find(prefix + path);
    if (found == tensors.end()) throw std::runtime_error("no tensor " + prefix + path);
    arrays.push_back(found->second);
  }
  mx::eval(arrays);  // now, while the file is known to be the verified one
  return arrays;
}

Tensors read_tensors(const fs::path& path) {
  read_safetensors_header(path.string());
  return mx::load_safetensors(path.string()).first;
}

void expect_shapes(
    const std::vector<mx::array>& arrays,
    const std::vector<mx::array>& expected,
    const std::vector<std::string>& paths) {
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].shape() == expected[i].shape()) continue;
    throw std::runtime_error(paths[i] + " has another shape");
  }
}

ArrayKinds take_kinds(Tensors& tensors, const Learner& learner) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    names.insert(name.substr(0, name.find('.')));
  }
  ArrayKinds kinds;
  for (const auto& name : names) {
    kinds[name] = take_all(tensors, name + ".", learner.paths());
  }
  for (const auto& [name, arrays] : learner.state()) {
    if (!names.contains(name)) throw std::runtime_error("no tensors " + name);
    expect_shapes(kinds[name], arrays, learner.paths());
  }
  return kinds;
}

void expect_optimizer(const nlohmann::json& state, const Learner& learner) {
  auto name = state.value("optimizer", "adamw");
  if (name == learner.optimizer().name()) return;
  throw std::runtime_error(
      "it was made with train.optim " + name + ", this run has " +
      learner.optimizer().name());
}

TrainState read_state(const fs::path& folder, const Learner& learner) {
  verify(folder);
  auto state = read_json_file((folder / "state.json").string());
  expect_optimizer(state, learner);
  auto adapters = read_tensors(folder / "adapters.safetensors");
  auto others = read_tensors(folder / "optimizer.safetensors");
  if (adapters.size() != learner.paths().size()) {
    throw std::runtime_error("it holds the adapter of another configuration");
  }
  TrainState loaded{
      state.at("step").get<int>(),
      take_all(adapters, "", learner.paths()),
      take_kinds(others, learner),
      state.at("optimizer_step").get<int>(),
      state.at("trainer")};
  expect_shapes(loaded.params, learner.params(), learner.paths());
  return loaded;
}

// Temporary folders are named <step>.tmp.<pid>.
bool is_stale(const std::string& name) {
  auto mark = name.find(".tmp.");
  if (mark == std::string::npos) return false;
  int pid = std::atoi(name.c_str() + mark + 5);
  return pid <= 0 || pid == ::getpid() || ::kill(pid, 0) != 0;
}

std::string free_space(const fs::path& folder) {
  std::error_code error;
  auto space = fs::space(folder, error);
  if (error) return "";
  return "; " + std::to_string(space.available >> 20) + " MB are free on that disk";
}

}  // namespace

void write_exported(const Learner& learner, const fs::path& path) {
  fs::path temporary = path.string() + ".tmp";
  write_tensors(temporary, learner.paths(), {{"", learner.exported()}});
  sync_path(temporary);
  rename_durably(temporary, path);
}

CheckpointStore::CheckpointStore(fs::path folder, std::string adapter_config)
    : folder_(std::move(folder)), adapter_config_(std::move(adapter_config)) {
  fs::create_directories(folder_);
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (is_stale(entry.path().filename().string())) stale.push_back(entry.path());
  }
  for (const auto& path : stale) fs::remove_all(path);
}

void CheckpointStore::save(
    const Learner& learner, int step, const nlohmann::json& trainer, int keep) {
  auto target = folder_ / name_of(step);
  fs::path temporary = target.string() + ".tmp." + std::to_string(::getpid());
  const auto& optimizer = learner.optimizer();
  try {
    fs::create_directories(temporary);
    const auto& paths = learner.paths();
    write_tensors(temporary / "adapters.safetensors", paths, {{"", learner.params()}});
    write_tensors(temporary / "optimizer.safetensors", paths, learner.state());
    write_file_atomically(temporary / "adapter_config.json", adapter_config_);
    nlohmann::ordered_json state = {
        {"version", 1},
        {"step", step},
        {"optimizer", optimizer.name()},
        {"optimizer_step", optimizer.step()},
        {"trainer", trainer}};
    write_file_atomically(temporary / "state.json", state.dump(2) + "\n");
    write_manifest(temporary);
    fs::remove_all(target);  // only ever a checkpoint of this step that did not verify
    rename_durably(temporary, target);
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw std::runtime_error(
        "[checkpoint] " + target.string() + " was not written: " + error.what() +
        free_space(folder_) + "; what was saved before stands, go on with --resume");
  }
  auto folders = newest_first();
  for (size_t i = keep; i < folders.size(); ++i) fs::remove_all(folders[i]);
}

std::optional<TrainState> CheckpointStore::load(
    const Learner& learner, const WarnFn& warn) const {
  auto folders = newest_first();
  std::string newest_problem;
  for (const auto& folder : folders) {
    try {
      return read_state(folder, learner);
    } catch (const std::exception& error) {
      if (newest_problem.empty()) newest_problem = error.what();
      warn(
          "[checkpoint] " + folder.string() + " cannot be used: " + error.what() +
          "; trying the one before");
    }
  }
  if (folders.empty()) return std::nullopt;
  throw std::runtime_error(
      "[checkpoint] no checkpoint in " + folder_.string() +
      " can be used; the newest: " + newest_problem);
}

fs::path CheckpointStore::newest() const {
  auto folders = newest_first();
  return folders.empty() ? fs::path() : folders.front();
}

std::vector<fs::path> CheckpointStore::newest_first() const {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    auto name = entry.path().filename().string();
    bool whole = name.starts_with("step-") && name.find('.') == std::string::npos;
    if (whole && entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.rbegin(), folders.rend());
  return folders;
}

}  // namespace pupil
