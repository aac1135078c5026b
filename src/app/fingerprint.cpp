#include "app/fingerprint.h"

#include <algorithm>
#include <filesystem>

#include "app/machine.h"
#include "base/sha256.h"
#include "config/load_config.h"
#include "mlx/device.h"
#include "mlx/version.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
namespace mx = mlx::core;

bool is_of_tokenizer(const std::string& name) {
  return name.starts_with("tokenizer") || name.starts_with("chat_template") ||
         name.starts_with("special_tokens");
}

void add_file(Sha256& digest, const fs::path& path) {
  digest.field(path.filename().string());
  digest.field(static_cast<int64_t>(fs::file_size(path)));
  digest.file(path);
}

std::string content_sha256(const fs::path& path) {
  Sha256 digest;
  digest.file(path);
  return digest.hex();
}

std::string config_sha256(Config config) {
  config.rollout.engine = {};  // where samples are made does not change them
  config.logging.run_dir.reset();
  config.train.max_steps = 0;
  return sha256_hex(dump_yaml(config));
}

}  // namespace

std::string files_sha256(const fs::path& folder, bool of_tokenizer) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    auto extension = entry.path().extension();
    bool counts =
        extension == ".safetensors" || extension == ".json" || extension == ".jinja";
    if (!counts || !entry.is_regular_file()) continue;
    if (is_of_tokenizer(entry.path().filename().string()) == of_tokenizer)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  Sha256 digest;
  for (const auto& file : files) add_file(digest, file);
  return digest.hex();
}

std::string answers_sha256(const Config& config) {
  Config rows = config;
  rows.rollout.engine = {};
  rows.logging = {};
  rows.hardware.threads = 0;
  const TeacherConfig unset;
  auto& teacher = rows.teacher;
  teacher.api_key_env = unset.api_key_env;
  teacher.known_answer_rate = unset.known_answer_rate;
  teacher.timeout_s = unset.timeout_s;
  teacher.max_concurrency = unset.max_concurrency;
  teacher.max_retries = unset.max_retries;
  teacher.requests_per_minute = unset.requests_per_minute;
  teacher.tokens_per_minute = unset.tokens_per_minute;
  teacher.max_cost_usd = unset.max_cost_usd;
  teacher.price_per_mtok_in = unset.price_per_mtok_in;
  teacher.price_per_mtok_out = unset.price_per_mtok_out;
  teacher.max_outage_s = unset.max_outage_s;
  teacher.on_failure = unset.on_failure;
  teacher.cache = unset.cache;
  return sha256_hex(dump_yaml(rows));
}

RunOrigin run_origin(const Config& config) {
  const auto& folder = config.hardware.mlx_model_path;
  bool on_gpu = mx::default_device() == mx::Device::gpu;
  RunOrigin origin = {
      {"model_sha256", files_sha256(folder, false)},
      {"tokenizer_sha256", files_sha256(folder, true)},
      {"config_sha256", config_sha256(config)},
      {"pupil", PUPIL_VERSION},
      {"mlx", mx::version()},
      {"device", on_gpu ? "gpu" : "cpu: " + cpu_features_text()}};
  const auto& model = config.model;
  if (model.ref_model_path)
    origin["ref_model_sha256"] = files_sha256(*model.ref_model_path, false);
  if (model.ref_adapter_path)
    origin["ref_adapter_sha256"] = files_sha256(*model.ref_adapter_path, false);
  return origin;
}

RunOrigin training_origin(const Config& resolved) {
  auto origin = run_origin(resolved);
  const auto& model = resolved.model;
  bool has_own = model.ref_model_path || model.ref_adapter_path;
  if (model.adapter_path && !has_own && has_reference(resolved.train))
    origin["ref_adapter_sha256"] = files_sha256(*model.adapter_path, false);
  origin["data_sha256"] = content_sha256(resolved.data.train);
  if (resolved.data.eval) origin["eval_sha256"] = content_sha256(*resolved.data.eval);
  return origin;
}

}  // namespace pupil
