// `pupil bench`: how fast this machine samples and trains, and where the time goes.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/bench_rollout.h"
#include "app/bench_text.h"
#include "app/bench_work.h"
#include "app/commands.h"
#include "app/machine.h"
#include "app/threads_option.h"
#include "base/error.h"
#include "base/process.h"
#include "base/progress.h"
#include "mlx/device.h"
#include "mlx/version.h"
#include "models/random_model.h"
#include "ops/cpu/thread_pool.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
namespace mx = mlx::core;
using Json = nlohmann::ordered_json;

// Works that are run --runs times, and once to warm up: all, and the policy step.
constexpr int kWorks = 7, kStepWorks = 1;

constexpr int kBatches[] = {1, 8};      // of the table by context
constexpr int kContexts[] = {64, 512};  // where nothing is asked

struct BenchOptions {
  std::string model, shape;
  int runs = 3;
  std::optional<int> threads;
  bool json = false, first_step = false;
  PolicyWork work;
  std::vector<int> contexts;  // of the table by context; empty: see contexts_of
  bool only_step = false;
  std::string checkpointing = "auto";
  bool only_rollout = false;
  RolloutWork rollout;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

double rounded(double value, double unit) {
  return std::round(value / unit) * unit;
}

// Whoever asks for the step alone waits for nothing else.
std::vector<int> contexts_of(const BenchOptions& options) {
  if (options.only_step || !options.contexts.empty()) return options.contexts;
  return {std::begin(kContexts), std::end(kContexts)};
}

// What has to be the same for two runs to be compared.
Json machine_json(const BenchOptions& options) {
  bool on_gpu = mx::default_device() == mx::Device::gpu;
  return {
      {"threads", cpu::num_threads()},
      {"cpu", cpu_features_text()},
      {"device", on_gpu ? "gpu" : "cpu"},
      {"pupil", PUPIL_VERSION},
      {"mlx", mx::version()},
      {"runs", options.runs}};
}

/// Runs the parts of the benchmark, with a bar.
class Bench {
 public:
  Bench(const BenchOptions& options, std::string model_dir)
      : options_(options),
        model_dir_(std::move(model_dir)),
        contexts_(contexts_of(options)),
        progress_("bench", "runs", num_works(options) * (options.runs + 1)),
        model_(model_dir_) {}

  /// The whole report, or that of the policy step alone.
  Json run() {
    Json report = machine_json(options_);
    if (!options_.only_step) add_sampling(report);
    if (!contexts_.empty()) add_contexts(report);
    model_.attach(recompute());
    add_policy_step(report);
    if (!options_.only_step) add_the_rest(report);
    return report;
  }

 private:
  static int num_works(const BenchOptions& options) {
    auto contexts = contexts_of(options).size() * std::size(kBatches);
    return (options.only_step ? kStepWorks : kWorks) + static_cast<int>(contexts);
  }

  std::optional<bool> recompute() const {
    if (options_.checkpointing == "auto") return std::nullopt;
    return options_.checkpointing == "on";
  }

  void add_sampling(Json& report) {
    report["prefill_tok_s"] =
        rounded(512 / of_runs([&] { return model_.prefill_s(512); }), 0.1);
    for (int rows : {1, 8}) {
      double speed = of_runs([&] { return model_.decode_tok_s(rows); });
      report["decode_tok_s"][std::to_string(rows)] = rounded(speed, 0.1);
      report["parts"]["decode_" + std::to_string(rows)] =
          shares([&] { model_.decode_tok_s(rows); });
    }
  }

  // null where the model has too few positions.
  void add_contexts(Json& report) {
    report["contexts"] = Json::array();
    for (int context : contexts_) {
      for (int batch : kBatches) {
        Json row = {
            {"context", context}, {"batch", batch}, {"new_tokens", kContextNewTokens}};
        row.update(context_figures(context, batch));
        report["contexts"].push_back(row);
      }
    }
  }

  Json context_figures(int context, int batch) {
    if (context + kContextNewTokens > model_.max_positions()) {
      progress_.skip(options_.runs + 1);
      return {{"prefill_tok_s", nullptr}, {"decode_tok_s", nullptr}};
    }
    std::vector<double> prefill;
    double decode = of_runs([&] {
      auto speed = model_.context_speed(batch, context);
      prefill.push_back(speed.prefill_tok_s);
      return speed.decode_tok_s;
    });
    return {
        {"prefill_tok_s", rounded(median(warm(prefill)), 0.1)},
        {"decode_tok_s", rounded(decode, 0.1)}};
  }

  void add_policy_step(Json& report) {
    const auto& work = options_.work;
    auto planned = model_.plan(work);
    auto& figures = report["grpo_step"] =
        step([&] { return model_.policy_step(work); }, true);
    figures["planned_mb"] = rounded(static_cast<double>(planned.peak()) / 1e6, 1);
    figures["recomputes"] = planned.recomputes;
    figures["rows"] = work.rows;
    figures["prompt_tokens"] = work.prompt_tokens;
    figures["new_tokens"] = work.new_tokens;
    figures["unshared"] = work.unshared;
    report["parts"]["grpo_step"] = shares([&] { model_.policy_step(work); });
  }

  void add_the_rest(Json& report) {
    report["sft_step"] = step([&] { return model_.supervised_step(); }, false);
    report["start_to_first_token_s"] = start_to(
        {"generate",
         "--model",
         model_dir_,
         "--raw",
         "--prompt",
         "def",
         "--max-tokens=1"});
    report["start_to_first_step_s"] =
        start_to({"bench", "--model", model_dir_, "--first-step"});
  }

  // The median of `runs` values, after one to warm up.
  template <class F>
  double of_runs(F&& work) {
    std::vector<double> values;
    for (int i = 0; i <= options_.runs; ++i) {
      double value = work();
      progress_.advance();
      if (i > 0) values.push_back(value);
    }
    return median(values);
  }

  template <class F>
  Json step(F&& work, bool generates) {
    std::vector<double> generation, update;
    uint64_t peak = 0;
    double seconds = of_runs([&] {
      StepFigures figures = work();
      generation.push_back(figures.generation_s);
      update.push_back(figures.update_s);
      peak = std::max(peak, figures.peak_bytes);
      return figures.generation_s + figures.update_s;
    });
    Json result = {{"seconds", rounded(seconds, 1e-3)}};
    if (generates) {
      result["generation_s"] = rounded(median(warm(generation)), 1e-3);
      result["update_s"] = rounded(median(warm(update)), 1e-3);
    }
    result["peak_mb"] = rounded(static_cast<double>(peak) / 1e6, 1);
    return result;
  }

  static std::vector<double> warm(const std::vector<double>& values) {
    return {values.begin() + 1, values.end()};
  }

  // Each operation's share of the time; the rest is graph building and MLX's own.
  Json shares(const std::function<void()>& work) {
    auto parts = time_parts(work);
    Json result = Json::object();
    double rest = 1;
    for (const auto& [name, seconds] : parts.operation_s) {
      result[name] = rounded(seconds / parts.total_s, 1e-3);
      rest -= seconds / parts.total_s;
    }
    result["outside kernels"] = rounded(rest, 1e-3);
    return result;
  }

  // Wall time of another process of this program, from its start to its end.
  double start_to(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), own_executable());
    arguments.push_back("--threads=" + std::to_string(options_.threads.value_or(0)));
    double seconds = of_runs([&] {
      ProcessOptions options;
      options.argv = arguments;
      options.directory = fs::current_path().string();
      options.wall_s = 3600;
      auto result = run_process(options);
      if (result.exit_code == 0) return result.wall_s;
      throw std::runtime_error("[bench] " + arguments[1] + " failed: " + result.output);
    });
    return rounded(seconds, 1e-3);
  }

  const BenchOptions& options_;
  std::string model_dir_;
  std::vector<int> contexts_;
  Progress progress_;
  BenchModel model_;
};

void print(const Json& report, const BenchOptions& options) {
  std::string text = options.json           ? report.dump() + "\n"
                     : options.only_rollout ? rollout_report_text(report)
                                            : bench_text(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

Json rollout_report(const BenchOptions& options, const std::string& dir) {
  auto report = machine_json(options);
  auto work = options.rollout;
  work.rows = options.work.rows;
  work.prompt_tokens = options.work.prompt_tokens;
  auto model = load_model(dir);
  report["runs"] = 1;
  report["rollout"] = rollout_figures(model, work);
  return report;
}

void run_bench(const BenchOptions& options) {
  if (options.model.empty() == options.shape.empty()) {
    throw UsageError("[command line] expected either --model or --shape");
  }
  use_threads(options.threads);
  std::unique_ptr<TemporaryModel> temporary;
  if (!options.shape.empty()) {
    temporary = std::make_unique<TemporaryModel>(options.shape, Quantization{64, 4});
  }
  const auto& dir = temporary ? temporary->path() : options.model;
  if (options.first_step) {
    BenchModel model(dir);
    model.attach();
    model.policy_step();
    return;
  }
  Json report = {{"model", temporary ? options.shape : options.model}};
  report.update(
      options.only_rollout ? rollout_report(options, dir) : Bench(options, dir).run());
  print(report, options);
}

void add_contexts(CLI::App& command, BenchOptions& options) {
  command
      .add_option(
          "--contexts",
          options.contexts,
          "prefill and decode for 1 and 8 prompts of so many tokens; default: 64,512, "
          "with --only-step none")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 20));
}

void add_policy_work(CLI::App& command, BenchOptions& options) {
  auto& work = options.work;
  auto add = [&](const char* name, int& value, const char* help) {
    command.add_option(name, value, help)
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 20));
  };
  command.add_flag("--only-step", options.only_step, "time the policy step alone");
  add("--rows", work.rows, "policy step: completions; rollout: of each prompt");
  add("--prompt-tokens",
      work.prompt_tokens,
      "policy step: tokens of their prompt; rollout: of the longest");
  add("--new-tokens", work.new_tokens, "policy step: tokens of each completion");
  command.add_flag(
      "--unshared", work.unshared, "policy step: compute the prompt for every row");
  command
      .add_option(
          "--gradient-checkpointing",
          options.checkpointing,
          "whether blocks are computed again in the backward pass")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "on", "off"}));
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  auto* command =
      app.add_subcommand("bench", "Time sampling and training on fixed sizes");
  command->add_option("--model", options->model, "MLX model directory");
  command->add_option("--shape", options->shape, "random weights of this shape instead")
      ->check(CLI::IsMember(model_shape_names()));
  command->add_option("--runs", options->runs, "runs of each work; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  add_threads_option(*command, options->threads);
  add_contexts(*command, *options);
  add_policy_work(*command, *options);
  command->add_flag(
      "--rollout", options->only_rollout, "time one rollout of many prompts, alone");
  add_rollout_options(*command, options->rollout);
  command->add_flag("--json", options->json, "one JSON object");
  command->add_flag("--first-step", options->first_step, "one policy step, no figures")
      ->group("");
  command->callback([options] { run_bench(*options); });
}

}  // namespace pupil
