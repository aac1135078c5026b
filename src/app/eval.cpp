// `pupil eval`: how good a model is on a set of tasks, alone or beside an adapter of
// it.

#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/eval_folder.h"
#include "app/eval_plan.h"
#include "app/eval_policies.h"
#include "app/number_option.h"
#include "app/threads_option.h"
#include "base/json.h"
#include "base/signals.h"
#include "train/comparison_text.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

void show(const Json& report, const EvalOptions& options) {
  auto text = options.json ? json_text(report) + "\n" : comparison_text(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (!options.json && !options.out.empty())
    std::printf("reports: %s/report.md, report.json\n", options.out.c_str());
}

Json examine(const EvalPlan& plan, EvalFolder& folder) {
  EvalPolicies policies(plan);
  auto rewards = policies.reward_names();
  folder.begin(rewards, static_cast<size_t>(plan.num_samples));
  auto examined = policies.examine(folder);
  std::optional<JudgedPairs> judged;
  if (plan.judge) judged = policies.judge(examined, folder);
  Json report = {{"settings", plan.settings}};
  report.update(
      comparison_json(examined, judged, {rewards, plan.ks, plan.config.seed}));
  return report;
}

void run_eval(const EvalOptions& options) {
  StopSignals signals;
  auto plan = plan_evaluation(options);
  EvalFolder folder(options.out, plan.settings);
  auto report = folder.report();
  if (!report) {
    report = examine(plan, folder);
    folder.finish(*report, comparison_markdown(*report));
  }
  show(*report, options);
}

void declare_what(CLI::App& command, EvalOptions& o) {
  command.add_option("--model", o.model, "MLX model directory; default: the config's");
  command.add_option(
      "--adapter",
      o.adapter,
      "examine this adapter, too, and compare it with the base");
  command.add_option(
      "--tasks",
      o.tasks,
      "tasks: ours, HumanEval's or MBPP's files; default: data.eval");
  command.add_option("--limit", o.limit, "the first N tasks alone")
      ->check(within<int>(kAtLeastOne));
  command.add_option(
      "-c,--config", o.config, "config.yaml: rewards, sandbox, teacher, sampling");
  command.add_option(
      "--out",
      o.out,
      "folder for samples.jsonl, report.json and report.md; an evaluation that was "
      "ended goes on there");
  command.add_flag(
      "--judge",
      o.judge,
      "ask the teacher whose answer is better, the adapter's or the base's");
  add_threads_option(command, o.threads);
  command.add_flag("--json", o.json, "print report.json instead of the summary");
}

void declare_sampling(CLI::App& command, EvalOptions& o) {
  command.add_option("--samples", o.samples, "answers to each task")
      ->capture_default_str()
      ->check(within<int>({1, 4096}));
  command
      .add_option(
          "--k", o.ks, "pass@k for these k, as in 1,10; default: 1 and --samples")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(within<int>({1, 4096}));
  command
      .add_option(
          "--temperature,--temp",
          o.temperature,
          "0 is greedy; default: greedy for one sample, else rollout.temperature")
      ->check(within<float>({0, 100}));
  command
      .add_option(
          "--max-tokens",
          o.max_tokens,
          "length limit; default: rollout.max_completion_length, 512 without a config")
      ->check(within<int>({1, 1 << 20}));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  auto* command = app.add_subcommand(
      "eval", "Examine a model, and an adapter beside it, on a set of tasks");
  declare_what(*command, *options);
  declare_sampling(*command, *options);
  command->footer(
      "--section.key=value changes any key of the config, --seed=N the seed.");
  command->allow_extras();
  command->callback([options, command] {
    options->overrides = command->remaining();
    run_eval(*options);
  });
}

}  // namespace pupil
