#include "train/checkpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <stdexcept>

#include "base/file.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "train/checkpoint_folder.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

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

bool has_average(const Learner& learner) {
  return &learner.exported() != &learner.params();
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
      state.at("trainer"),
      state.value("origin", nlohmann::json::object())};
  expect_shapes(loaded.params, learner.params(), learner.paths());
  return loaded;
}

// Temporary folders are named <step>.tmp.<pid>.
bool is_stale(const std::string& name) {
  auto mark = name.find(".tmp.");
  if (mark == std::string::npos) return false;
  int pid = std::atoi(name.c_str() + mark + 5);
  if (pid <= 0 || pid == ::getpid()) return true;
  return ::kill(pid, 0) != 0 && errno == ESRCH;  // EPERM: it lives, as another user's
}

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", 1e-6 * static_cast<double>(bytes));
  return text;
}

// Of a checkpoint and of the adapter that is published after it, for which the one
// before stays until it is whole.
uint64_t bytes_of(const Learner& learner) {
  uint64_t bytes = 0, copies = has_average(learner) ? 3 : 2;
  for (const auto& param : learner.params()) bytes += copies * param.nbytes();
  for (const auto& [kind, arrays] : learner.state()) {
    for (const auto& array : arrays) bytes += array.nbytes();
  }
  return bytes;
}

// A disk that fills up half-way costs time, and others their last bytes.
void expect_space(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  auto space = fs::space(folder, error);
  uint64_t needed = bytes + bytes / 5;
  if (error || space.available >= needed) return;
  throw std::runtime_error(
      "No space left on device: it needs " + megabytes(needed) + ", " +
      megabytes(space.available) + " are free");
}

int step_of(const fs::path& folder) {
  return std::atoi(folder.filename().c_str() + std::string_view("step-").size());
}

}  // namespace

void write_exported(const Learner& learner, const fs::path& path) {
  fs::path temporary = path.string() + ".tmp";
  try {
    write_tensors(temporary, learner.paths(), {{"", learner.exported()}});
    sync_path(temporary);
    rename_durably(temporary, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

bool holds_exported(const Learner& learner, const fs::path& path) {
  try {
    auto tensors = read_tensors(path);
    if (tensors.size() != learner.paths().size()) return false;
    auto arrays = take_all(tensors, "", learner.paths());
    for (size_t i = 0; i < arrays.size(); ++i) {
      auto expected = mx::astype(learner.exported()[i], arrays[i].dtype());
      if (!mx::array_equal(arrays[i], expected).item<bool>()) return false;
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

CheckpointStore::CheckpointStore(
    fs::path folder, std::string adapter_config, nlohmann::ordered_json origin)
    : folder_(std::move(folder)),
      adapter_config_(std::move(adapter_config)),
      origin_(std::move(origin)) {
  fs::create_directories(folder_);
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (is_stale(entry.path().filename().string())) stale.push_back(entry.path());
  }
  for (const auto& path : stale) fs::remove_all(path);
}

void CheckpointStore::save(
    const Learner& learner,
    int step,
    const nlohmann::json& trainer,
    const KeptCheckpoints& kept) {
  auto target = folder_ / name_of(step);
  fs::path temporary = target.string() + ".tmp." + std::to_string(::getpid());
  try {
    expect_space(folder_, bytes_of(learner));
    write_files(temporary, learner, step, trainer);
    verify(temporary);
    put_in_place(temporary, target);
    write_file_atomically(folder_ / "LATEST", name_of(step) + "\n");
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw std::runtime_error(
        "[checkpoint] " + target.string() + " was not written: " + error.what() +
        "; what was saved before stands");
  }
  remove_others(step, kept);
}

void CheckpointStore::write_files(
    const fs::path& folder,
    const Learner& learner,
    int step,
    const nlohmann::json& trainer) const {
  fs::create_directories(folder);
  const auto& paths = learner.paths();
  write_tensors(folder / "adapters.safetensors", paths, {{"", learner.params()}});
  write_tensors(folder / "optimizer.safetensors", paths, learner.state());
  write_synced(folder / "adapter_config.json", adapter_config_);
  if (has_average(learner)) {
    auto average = folder / "ema";
    fs::create_directories(average);
    write_tensors(average / "adapters.safetensors", paths, {{"", learner.exported()}});
    write_synced(average / "adapter_config.json", adapter_config_);
    sync_path(average);
  }
  nlohmann::ordered_json state = {
      {"version", 1},
      {"step", step},
      {"optimizer", learner.optimizer().name()},
      {"optimizer_step", learner.optimizer().step()},
      {"trainer", trainer},
      {"origin", origin_}};
  write_synced(folder / "state.json", state.dump(2) + "\n");
  write_manifest(folder);
  sync_path(folder);
}

// Those of later steps did not verify, or this run would have gone on from them.
void CheckpointStore::remove_others(int step, const KeptCheckpoints& kept) const {
  int newer = 0;
  for (const auto& folder : newest_first()) {
    int of = step_of(folder);
    bool stays = of <= step && newer < kept.newest;
    newer += stays;
    if (!stays && of != kept.best_step) fs::remove_all(folder);
  }
}

std::optional<TrainState> CheckpointStore::load(
    const Learner& learner, const WarnFn& warn) const {
  auto folders = newest_first();
  std::string newest_problem;
  for (const auto& folder : folders) {
    try {
      verify(folder);
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
  for (const auto& folder : newest_first()) {
    if (verifies(folder)) return folder;  // of the others `load` tells
  }
  return {};
}

fs::path CheckpointStore::of_step(int step) const {
  return folder_ / name_of(step);
}

fs::path CheckpointStore::exported_of_step(int step) const {
  auto average = of_step(step) / "ema";
  return fs::exists(average) ? average : of_step(step);
}

std::vector<fs::path> CheckpointStore::newest_first() const {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    auto name = entry.path().filename().string();
    bool whole = name.starts_with("step-") && name.find('.') == std::string::npos;
    if (whole && entry.is_directory()) folders.push_back(entry.path());
  }
  auto later = [](const fs::path& a, const fs::path& b) {
    return step_of(a) > step_of(b);  // by name, 999999 would be after 1000000
  };
  std::sort(folders.begin(), folders.end(), later);
  return folders;
}

}  // namespace pupil
