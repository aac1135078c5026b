#include "rollout/adapter_handover.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "models/adapters.h"
#include "models/lora.h"

namespace pupil {

namespace fs = std::filesystem;

AdapterHandover::~AdapterHandover() {
  std::error_code ignored;
  if (count_ > 0) fs::remove_all(folder_, ignored);
}

fs::path AdapterHandover::directory_for(const Decoder& model) {
  auto arrays = trained_arrays(model);
  if (!is_new(arrays)) return newest_;
  try {
    write(model);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        "[rollout] " + folder_.string() +
        ": the adapter cannot be handed over: " + error.what());
  }
  handed_ = std::move(arrays);
  return newest_;
}

void AdapterHandover::drop_old() {
  std::error_code ignored;  // it is tried again with the whole folder
  for (const auto& directory : old_) fs::remove_all(directory, ignored);
  old_.clear();
}

// Arrays never change, they are replaced.
bool AdapterHandover::is_new(const std::vector<mx::array>& arrays) const {
  return !std::ranges::equal(
      arrays, handed_, [](const auto& a, const auto& b) { return a.id() == b.id(); });
}

void AdapterHandover::write(const Decoder& model) {
  if (count_ == 0) fs::remove_all(folder_);  // of a run that was killed
  auto name = folder_ / ("adapter-" + std::to_string(++count_));
  auto partial = fs::path(name.string() + ".partial");
  fs::create_directories(partial);
  save_adapter_tensors(model, (partial / "adapters.safetensors").string());
  std::ofstream config(partial / "adapter_config.json", std::ios::binary);
  if (!(config << config_text_ << std::flush))
    throw std::runtime_error("adapter_config.json cannot be written");
  bytes_written_ +=
      static_cast<int64_t>(fs::file_size(partial / "adapters.safetensors"));
  fs::rename(partial, name);
  if (!newest_.empty()) old_.push_back(newest_);
  newest_ = name;
}

}  // namespace pupil
