#include "train/run_origin.h"

#include <stdexcept>
#include <utility>

namespace pupil {

namespace {

constexpr const char* kRefAdapter = "ref_adapter_sha256";

// Without which a run does not go on.
constexpr std::pair<const char*, const char*> kFiles[] = {
    {"model_sha256", "model"},
    {"tokenizer_sha256", "tokenizer"},
    {"ref_model_sha256", "reference model"},
    {kRefAdapter, "reference adapter"}};

// With others it goes on.
constexpr std::pair<const char*, const char*> kChangeable[] = {
    {"config_sha256", "settings"},
    {"data_sha256", "lines of data.train"},
    {"eval_sha256", "tasks of data.eval"}};

bool differs(
    const nlohmann::json& saved, const RunOrigin& now, const std::string& key) {
  return saved.contains(key) && now.contains(key) && saved.at(key) != now.at(key);
}

}  // namespace

void check_origin(
    const nlohmann::json& saved, const RunOrigin& now, const WarnFn& warn) {
  for (const auto& [key, name] : kFiles) {
    if (!differs(saved, now, key)) continue;
    throw std::invalid_argument(
        "[resume] the " + std::string(name) +
        "'s files are not those that this run was trained with; put them back, or "
        "start a new run with --from-adapter and this run's adapters/");
  }
  for (const auto& [key, name] : kChangeable) {
    if (!differs(saved, now, key)) continue;
    warn(
        "[resume] the " + std::string(name) +
        " are not those of the checkpoint: from here on they are the new ones");
  }
  bool has_new = saved.contains("model_sha256") && !saved.contains(kRefAdapter) &&
                 now.contains(kRefAdapter);
  if (has_new) {
    warn(
        "[resume] the checkpoint names no adapter of the reference: from here on the "
        "reference has one");
  }
  for (const char* key : {"pupil", "mlx", "device"}) {
    if (!differs(saved, now, key)) continue;
    warn(
        "[resume] " + std::string(key) + " was " + saved.at(key).get<std::string>() +
        " and is " + now.at(key).get<std::string>() +
        ": the run goes on, but not bit for bit as it would have");
  }
}

}  // namespace pupil
