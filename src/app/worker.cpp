// `pupil worker generate|train`: the engine and the learner for other programs, JSON
// Lines on stdin and stdout (docs/worker_protocol.md).

#include <memory>

#include "app/assemble.h"
#include "app/commands.h"
#include "app/threads_option.h"
#include "app/worker_loop.h"
#include "app/worker_ops.h"
#include "config/load_config.h"

namespace pupil {

namespace {

struct WorkerOptions {
  std::string model, adapter, config;
  std::optional<int> threads;
  std::vector<std::string> overrides;
};

Config read_config(const WorkerOptions& options) {
  auto config = load_config(options.config, options.overrides);
  if (!options.model.empty()) config.hardware.mlx_model_path = options.model;
  if (!options.adapter.empty()) config.model.adapter_path = options.adapter;
  if (options.threads) config.hardware.threads = *options.threads;
  return resolved(config);
}

nlohmann::ordered_json hello_of(const char* kind, const Model& model) {
  return {
      {"kind", kind},
      {"model", model.path},
      {"vocab_size", model.decoder.config.vocab_size},
      {"max_positions", model.decoder.config.max_positions},
      {"eos_ids", model.eos_ids}};
}

Model plain_model(const Config& config) {
  choose_hardware(config.hardware);
  auto model = load_model(config.hardware.mlx_model_path);
  model.decoder.kv_bits = kv_bits_of(config);
  return model;
}

void run_worker(const WorkerOptions& options, bool trains) {
  WorkerLoop loop;
  try {
    auto config = read_config(options);
    auto model = plain_model(config);
    if (trains) {
      TrainWorker worker(model, config);
      loop.serve(hello_of("train", model), worker.ops());
    } else {
      GenerateWorker worker(model, sampling_config(config));
      if (config.model.adapter_path) worker.use_adapter(*config.model.adapter_path);
      loop.serve(hello_of("generate", model), worker.ops());
    }
  } catch (const std::exception& error) {
    loop.refuse(error.what());
    throw;
  }
}

void add_kind(CLI::App& worker, bool trains, const char* name, const char* help) {
  auto options = std::make_shared<WorkerOptions>();
  auto* command = worker.add_subcommand(name, help);
  command->add_option("--model", options->model, "MLX model directory");
  command->add_option("--adapter", options->adapter, "adapter to begin with");
  command->add_option("-c,--config", options->config, "config.yaml (see `pupil init`)");
  add_threads_option(*command, options->threads);
  command->footer("--section.key=value changes any key of the config.");
  command->allow_extras();
  command->callback([options, command, trains] {
    options->overrides = command->remaining();
    run_worker(*options, trains);
  });
}

}  // namespace

void add_worker(CLI::App& app) {
  auto* command = app.add_subcommand(
      "worker", "Serve other programs: JSON Lines on stdin and stdout");
  command->require_subcommand(1);
  add_kind(*command, false, "generate", "Completions with their log-probabilities");
  add_kind(*command, true, "train", "Policy gradient steps on given samples");
}

}  // namespace pupil
