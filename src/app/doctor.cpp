// `pupil doctor`: what this machine has, and whether `pupil train` could work here.
// Everything is tried, nothing guessed.

#include <mlx/device.h>
#include <mlx/memory.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/assemble.h"
#include "app/commands.h"
#include "app/lessons.h"
#include "app/machine.h"
#include "app/reward_table.h"
#include "app/rollout_worker.h"
#include "base/cores.h"
#include "base/screen.h"
#include "config/load_config.h"
#include "data/tasks.h"
#include "mlx/version.h"
#include "models/model.h"
#include "models/model_config.h"
#include "reward/chat_api.h"
#include "reward/program_commands.h"
#include "reward/sandbox.h"
#include "train/loss_settings.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLeastMemory = 700u << 20;  // the default student trains in it
constexpr uint64_t kLeastDisk = 500u << 20;    // checkpoints, logs

struct DoctorOptions {
  std::string config;
  std::vector<std::string> overrides;
  bool json = false;
};

/// One thing that was looked at.
struct Check {
  std::string name;
  std::string found;  // or what is wrong with it
  bool ok = true;
};

Check attempt(const std::string& name, const std::function<std::string()>& look) {
  try {
    return {name, look()};
  } catch (const std::exception& error) {
    return {name, error.what(), false};
  }
}

std::string look_at_device(const Config& config) {
  choose_hardware(config.hardware);
  const bool on_gpu = mlx::core::default_device() == mlx::core::Device::gpu;
  return std::string(on_gpu ? "GPU" : "CPU") + ", " + std::to_string(num_cores()) +
         " cores, " + cpu_features_text();
}

std::string look_at_memory() {
  const auto free = available_memory_bytes();
  std::string text = gigabytes_text(total_memory_bytes());
  if (free) text += ", " + gigabytes_text(*free) + " available";
  text += ", limit " + gigabytes_text(mlx::core::get_memory_limit());
  if (!free || *free >= kLeastMemory) return text;
  throw std::runtime_error(text + "; training needs " + gigabytes_text(kLeastMemory));
}

// The folder that will hold the run: the nearest one that exists.
fs::path run_parent(const Config& config) {
  fs::path path = fs::absolute(config.logging.run_dir.value_or("runs"));
  while (!fs::exists(path) && path.has_relative_path()) path = path.parent_path();
  return path;
}

std::string look_at_disk(const Config& config) {
  const fs::path parent = run_parent(config);
  const std::string text =
      gigabytes_text(fs::space(parent).available) + " available in " + parent.string();
  if (::access(parent.c_str(), W_OK) != 0) {
    throw std::runtime_error(parent.string() + " cannot be written to");
  }
  if (fs::space(parent).available >= kLeastDisk) return text;
  throw std::runtime_error(text + "; a run needs " + gigabytes_text(kLeastDisk));
}

bool rewards_by(const Config& config, const std::string& name) {
  const auto& functions = config.reward.functions;
  return std::any_of(functions.begin(), functions.end(), [&](const auto& function) {
    return function.name == name;
  });
}

/// The boundary, and the languages whose tools a box can have.
std::string look_inside(const Sandbox& sandbox) {
  std::string languages;
  for (const Language language : kLanguages) {
    if (!missing_tools(sandbox, language).empty()) continue;
    languages += (languages.empty() ? "" : ", ") + std::string(name_of(language));
  }
  return sandbox.description() + "; languages: " + languages;
}

std::string look_at_sandbox(const Config& config) {
  try {
    return look_inside(Sandbox(config.sandbox));
  } catch (const std::exception& error) {
    if (rewards_by(config, "tests")) throw;
    return std::string("none, and no reward needs it: ") + error.what();
  }
}

std::string look_at_teacher(const Config& config) {
  if (config.teacher.provider == "none") {
    const bool is_needed =
        rewards_by(config, "teacher") || !config.hardware.use_mlx_for_generation;
    if (!is_needed) return "none configured";
    throw std::runtime_error(
        "none configured, and the config needs one; set teacher.provider");
  }
  if (config.teacher.provider == "local") {
    const std::string model = config.teacher.model.value_or("");
    if (model != "student") read_model_config(model);
    return "a judge in this program: " + model;
  }
  const ChatEndpoint endpoint = chat_endpoint(config.teacher, process_environment);
  const std::string key =
      endpoint.key.empty() ? "no key" : "key from " + endpoint.key_env;
  return endpoint.model + " at " + endpoint.url + ", " + key;
}

/// Programs that are not there, patterns that do not compile; tests and teacher are
/// looked at by themselves.
std::string look_at_rewards(Config config) {
  check_reward_functions(config.reward.functions);
  std::string names;
  for (const auto& function : config.reward.functions) {
    names += (names.empty() ? "" : ", ") + display_name(function);
  }
  config.logging.run_dir.reset();
  std::erase_if(config.reward.functions, [](const RewardFunctionConfig& function) {
    return function.name == "tests" || function.name == "teacher";
  });
  if (!config.reward.functions.empty()) make_rewards(config, nullptr);
  return names;
}

std::string look_at_keys() {
  std::string text, separator;
  for (const char* name : {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}) {
    const bool is_set = !process_environment(name).empty();
    text += separator + name + (is_set ? " is set" : " is not set");
    separator = ", ";
  }
  return text;
}

std::string look_at_settings(const Config& config) {
  const Config whole = resolved(config);
  learner_config(whole);
  return "method " + whole.train.method + ", fit together";
}

// With what is trained attached to it.
std::string look_at_model(const Config& config) {
  const Model model = loaded_model(config);
  const auto& adapter = config.model.adapter_path;
  return adapter ? model.path + " with the adapter of " + *adapter : model.path;
}

/// A worker holds the weights a second time.
std::string look_at_rollout(Config config) {
  if (config.rollout.engine.backend == "in_process") return "samples in this process";
  config.logging.run_dir.reset();
  const Model model = loaded_model(config);
  const auto worker = rollout_worker(config, model);
  worker->start(model);
  return "samples in a worker process, which starts; each of the two holds " +
         gigabytes_text(held_memory_bytes());
}

std::string look_at_tasks(const Config& config, const std::string& path) {
  const size_t count = load_tasks(path, config.data.limit).size();
  return std::to_string(count) + " in " + path;
}

std::string look_at_training_data(const Config& config) {
  const auto& path = config.data.train;
  if (!learns_from_file(config.train)) return look_at_tasks(config, path);
  return std::to_string(num_lessons(config)) + " lines to learn from in " + path;
}

std::vector<Check> look_at_everything(const DoctorOptions& options) {
  const Config config = load_config(options.config, options.overrides);
  std::vector<Check> checks = {
      {"pupil", PUPIL_VERSION},
      {"mlx", std::string(mlx::core::version()) + " from " + mlx_library_path()},
      attempt("device", [&] { return look_at_device(config); }),
      attempt("memory", look_at_memory),
      attempt("disk", [&] { return look_at_disk(config); }),
      attempt("sandbox", [&] { return look_at_sandbox(config); }),
      attempt("teacher", [&] { return look_at_teacher(config); }),
      attempt("rewards", [&] { return look_at_rewards(config); }),
      {"keys", look_at_keys()}};
  if (options.config.empty() && options.overrides.empty()) return checks;
  const auto& data = config.data;
  checks.push_back(attempt("settings", [&] { return look_at_settings(config); }));
  checks.push_back(attempt("model", [&] { return look_at_model(config); }));
  checks.push_back(attempt("rollout", [&] { return look_at_rollout(config); }));
  checks.push_back(attempt("tasks", [&] { return look_at_training_data(config); }));
  if (data.eval) {
    checks.push_back(
        attempt("held-out", [&] { return look_at_tasks(config, *data.eval); }));
  }
  return checks;
}

void print_text(const std::vector<Check>& checks) {
  for (const Check& check : checks) {
    std::printf(
        "%-8s  %s  %s\n",
        check.name.c_str(),
        check.ok ? "ok     " : "PROBLEM",
        check.found.c_str());
  }
  std::fflush(stdout);
}

void print_json(const std::vector<Check>& checks, bool ok) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Check& check : checks) {
    rows.push_back({{"name", check.name}, {"ok", check.ok}, {"found", check.found}});
  }
  const nlohmann::json report = {{"ok", ok}, {"checks", rows}};
  print_line(
      stdout, report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void run_doctor(const DoctorOptions& options) {
  const auto checks = look_at_everything(options);
  std::string problems;
  for (const Check& check : checks) {
    if (!check.ok) problems += (problems.empty() ? "" : ", ") + check.name;
  }
  options.json ? print_json(checks, problems.empty()) : print_text(checks);
  if (problems.empty()) return;
  throw std::runtime_error("[doctor] `pupil train` cannot work here: " + problems);
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* command = app.add_subcommand(
      "doctor",
      "Say what this machine has and whether training could work; "
      "--section.key=value changes any key of the config");
  command->add_option(
      "-c,--config", options->config, "also check the model and the tasks it names");
  command->add_flag("--json", options->json, "print one JSON object");
  command->allow_extras();
  command->callback([options, command] {
    options->overrides = command->remaining();
    run_doctor(*options);
  });
}

}  // namespace pupil
