#include "app/rollout_worker.h"

#include <filesystem>

#include "app/fingerprint.h"
#include "app/machine.h"
#include "base/json.h"
#include "models/adapter_files.h"
#include "models/adapters.h"
#include "reward/program_reward.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

// On Linux the file that runs, even where another one has its name by now.
std::string this_program() {
#ifdef __linux__
  return "/proc/self/exe";
#else
  return own_executable();
#endif
}

std::string option(const char* key, const nlohmann::json& value) {
  auto text = value.is_string() ? value.get<std::string>() : json_text(value);
  return std::string("--") + key + "=" + text;
}

// What decides how it computes and how much at once; what is sampled is in each
// request.
std::vector<std::string> worker_command(const Config& config) {
  const auto& hardware = config.hardware;
  const auto& room = config.rollout.room;
  return {
      this_program(),
      "worker",
      "generate",
      "--model",
      fs::absolute(hardware.mlx_model_path).string(),
      option("hardware.device", hardware.device),
      option("hardware.threads", hardware.threads),
      option("hardware.memory_limit_gb", hardware.memory_limit_gb),
      option("rollout.max_rows", rows_at_once(room.max_rows)),
      option("rollout.cache_memory_mb", room.cache_memory_mb),
      option("rollout.prefill_chunk", room.prefill_chunk),
      option("rollout.kv_bits", room.kv_bits)};
}

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f MB", 1e-6 * static_cast<double>(bytes));
  return text;
}

std::string seconds(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", value);
  return text;
}

}  // namespace

// It asks nobody over the network: the teacher's key is not for it.
WorkerOptions rollout_worker_options(const Config& config) {
  WorkerOptions options;
  options.command = worker_command(config);
  options.environment = environment_without(
      {"OPENAI_API_KEY",
       "ANTHROPIC_API_KEY",
       config.teacher.api_key_env.value_or("OPENAI_API_KEY")});
  if (const auto& run_dir = config.logging.run_dir)
    options.errors_path = *run_dir + "/worker.stderr";
  options.start_s = config.rollout.engine.worker_start_s;
  options.timeout_s = config.rollout.engine.worker_timeout_s;
  return options;
}

std::shared_ptr<WorkerEngine> rollout_worker(const Config& config, const Model& model) {
  return rollout_worker(config, model, rollout_worker_options(config));
}

std::shared_ptr<WorkerEngine> rollout_worker(
    const Config& config, const Model& model, WorkerOptions options) {
  if (config.rollout.engine.backend != "worker") return nullptr;
  auto lora = config.model.adapter_path
                  ? read_adapter_config(*config.model.adapter_path)
                  : config.lora;
  return std::make_shared<WorkerEngine>(
      std::move(options),
      model_fingerprint(model.path),
      fs::path(config.logging.run_dir.value_or("runs")) / "worker",
      adapter_config_text(lora, model.decoder, fs::absolute(model.path).string()));
}

nlohmann::ordered_json model_fingerprint(const std::string& folder) {
  return {
      {"model_sha256", files_sha256(folder, false)},
      {"tokenizer_sha256", files_sha256(folder, true)}};
}

std::string worker_text(const WorkerCosts& costs) {
  return "worker: " + std::to_string(costs.starts) +
         (costs.starts == 1 ? " start (" : " starts (") + seconds(costs.start_s) +
         "), " + megabytes(costs.adapter_bytes) + " of adapters in " +
         seconds(costs.adapter_s) + ", " + megabytes(costs.message_bytes) +
         " of messages";
}

}  // namespace pupil
