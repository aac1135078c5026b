#include "app/eval_plan.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "app/assemble.h"
#include "app/fingerprint.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "config/load_config.h"
#include "config/schema.h"
#include "data/tasks.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMaxTokens = 512;  // where no config says another

/// A run's directory is none of ours, and no trouble of a program's ends the scoring.
Config read_config(const EvalOptions& options) {
  auto config = load_config(options.config, options.overrides);
  config.logging.run_dir.reset();
  for (auto& function : config.reward.functions) {
    if (!function.command.empty()) function.on_failure = "unscored";
  }
  if (!options.model.empty()) config.hardware.mlx_model_path = options.model;
  config.model.adapter_path.reset();
  if (!options.adapter.empty()) config.model.adapter_path = options.adapter;
  if (!options.tasks.empty()) config.data.eval = options.tasks;
  if (options.limit) config.data.limit = options.limit;
  if (options.threads) config.hardware.threads = *options.threads;
  return config;
}

void check_options(const EvalOptions& options) {
  auto usage = [](const std::string& what) {
    throw UsageError("[command line] " + what);
  };
  if (options.model.empty() && options.config.empty())
    usage("expected --model, or a config with -c");
  for (int k : options.ks) {
    if (k <= options.samples) continue;
    usage(
        "--k: pass@" + std::to_string(k) + " needs at least " + std::to_string(k) +
        " samples a task, got --samples " + std::to_string(options.samples));
  }
  if (options.temperature == 0.0f && options.samples > 1)
    usage("--temperature 0 gives the same answer every time; set --samples 1");
  if (options.judge && options.adapter.empty())
    usage("--judge compares an adapter with its base; give --adapter");
}

void check_config(const Config& config, const EvalOptions& options) {
  if (!config.data.eval)
    throw UsageError("[command line] expected --tasks, or a config with data.eval");
  if (options.judge && config.teacher.provider == "none") {
    throw std::invalid_argument(
        "[config] --judge asks a teacher, and there is none; set teacher.provider");
  }
}

std::vector<int> ks_of(const EvalOptions& options) {
  std::vector<int> ks = options.ks;
  if (ks.empty()) ks = {1, options.samples};
  std::sort(ks.begin(), ks.end());
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  return ks;
}

SamplingConfig sampling_of(const EvalOptions& options, const Config& config) {
  auto sampling = sampling_config(config);
  bool greedy = options.samples == 1;
  float usual = greedy ? 0.0f : sampling.truncation.temperature;
  sampling.truncation.temperature = options.temperature.value_or(usual);
  if (options.config.empty()) sampling.max_tokens = kMaxTokens;
  if (options.max_tokens) sampling.max_tokens = *options.max_tokens;
  return sampling;
}

// As people wrote it: 0.8, not the nearest float.
double decimal(float value) {
  return std::stod(value_text(value));
}

Json rules_json(const LogitRules& rules) {
  Json biases = Json::object();
  for (const auto& [token, bias] : rules.logit_bias)
    biases[std::to_string(token)] = decimal(bias);
  return {
      {"repetition_penalty", decimal(rules.repetition_penalty)},
      {"presence_penalty", decimal(rules.presence_penalty)},
      {"frequency_penalty", decimal(rules.frequency_penalty)},
      {"logit_bias", biases},
      {"min_tokens", rules.min_tokens}};
}

Json sampling_json(const SamplingConfig& sampling) {
  const auto& t = sampling.truncation;
  return {
      {"temperature", decimal(t.temperature)},
      {"top_p", decimal(t.top_p)},
      {"top_k", t.top_k},
      {"min_p", decimal(t.min_p)},
      {"rules", rules_json(sampling.rules)},
      {"stop", sampling.stop},
      {"max_tokens", sampling.max_tokens},
      {"seed", sampling.seed}};
}

Json rewards_json(const Config& config) {
  Json rewards = Json::object();
  for (const auto& function : config.reward.functions)
    rewards[display_name(function)] = function.weight;
  return rewards;
}

// What scores: training's settings do not matter, and the rest is said elsewhere.
std::string scoring_sha256(Config config) {
  const Config unset;
  config.train = unset.train;
  config.lora = unset.lora;
  config.data = unset.data;
  config.rollout = unset.rollout;
  config.model = unset.model;
  config.hardware = unset.hardware;
  return answers_sha256(config);
}

Json origin_json(const Config& config) {
  const auto& adapter = config.model.adapter_path;
  Json origin = run_origin(config);
  origin["config_sha256"] = scoring_sha256(config);
  origin["adapter_sha256"] = adapter ? Json(files_sha256(*adapter, false)) : Json();
  origin["tasks_sha256"] = sha256_hex(read_file(*config.data.eval));
  return origin;
}

Json settings_of(const EvalPlan& plan) {
  const auto& config = plan.config;
  const auto& adapter = config.model.adapter_path;
  const auto& system = config.model.system_prompt;
  Json settings = {
      {"model", config.hardware.mlx_model_path},
      {"adapter", adapter ? Json(*adapter) : Json()},
      {"tasks", *config.data.eval},
      {"num_tasks", plan.tasks.size()},
      {"samples", plan.num_samples},
      {"k", plan.ks}};
  settings.update(sampling_json(plan.sampling));
  settings["kv_bits"] = config.rollout.room.kv_bits;
  settings["system_prompt"] = system ? Json(*system) : Json();
  settings["rewards"] = rewards_json(config);
  settings["judge"] = plan.judge ? Json(config.teacher.model.value_or("")) : Json();
  settings.update(origin_json(config));
  return settings;
}

// Before its files are read for their checksums.
void expect_folder(const std::string& path, const std::string& what) {
  if (fs::is_directory(path)) return;
  throw std::invalid_argument(
      "[" + path + "] expected " + what + " directory, got " +
      (fs::exists(path) ? "a file" : "nothing"));
}

void expect_folders(const Config& config) {
  expect_folder(config.hardware.mlx_model_path, "an MLX model");
  const auto& adapter = config.model.adapter_path;
  if (adapter) expect_folder(*adapter, "an adapter");
}

}  // namespace

EvalPlan plan_evaluation(const EvalOptions& options) {
  check_options(options);
  EvalPlan plan;
  plan.config = read_config(options);
  check_config(plan.config, options);
  plan.tasks = load_tasks(*plan.config.data.eval, plan.config.data.limit);
  plan.num_samples = options.samples;
  plan.ks = ks_of(options);
  plan.sampling = sampling_of(options, plan.config);
  plan.judge = options.judge;
  expect_folders(plan.config);
  choose_hardware(plan.config.hardware);
  plan.settings = settings_of(plan);
  return plan;
}

}  // namespace pupil
