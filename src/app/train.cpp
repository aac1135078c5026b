// `pupil train`: from a config to a student that got better, or to where it stopped.

#include <ctime>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "app/assemble.h"
#include "app/commands.h"
#include "app/fingerprint.h"
#include "app/judge_report.h"
#include "app/machine.h"
#include "app/memory_report.h"
#include "app/rollout_worker.h"
#include "base/error.h"
#include "base/json.h"
#include "base/signals.h"
#include "config/load_config.h"
#include "models/adapter_files.h"
#include "models/adapters.h"
#include "reward/teacher.h"
#include "train/evaluation.h"
#include "train/loss_settings.h"
#include "train/report.h"
#include "train/run_status.h"
#include "train/self_check.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  std::string config;
  std::string run_dir;  // of --resume; empty: the config's, or the newest of runs/
  bool resume = false;
  std::string from_adapter;
  std::vector<std::string> overrides;
};

std::string new_run_dir() {
  char text[64];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  std::strftime(text, sizeof text, "runs/%Y%m%d-%H%M%S", &parts);
  return text;
}

// The folder of runs/ whose config.yaml is newest.
std::string newest_run() {
  fs::path newest;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("runs", error)) {
    auto config = entry.path() / "config.yaml";
    if (!fs::exists(config)) continue;
    bool later = newest.empty() || fs::last_write_time(config) >
                                       fs::last_write_time(newest / "config.yaml");
    if (later) newest = entry.path();
  }
  if (newest.empty()) {
    throw UsageError("[train] --resume: there is no run in runs/; name its folder");
  }
  return newest.string();
}

// Resuming without -c goes on with the run's own config.
Config read_config(const TrainOptions& options) {
  std::string path = options.config, run_dir = options.run_dir;
  if (options.resume && path.empty()) {
    if (run_dir.empty()) run_dir = newest_run();
    check_run_dir(run_dir, true);
    path = run_dir + "/config.yaml";
  }
  if (path.empty())
    throw UsageError("[train] give a config with -c, or --resume RUN_DIR");
  auto config = load_config(path, options.overrides);
  if (!options.from_adapter.empty()) config.model.adapter_path = options.from_adapter;
  if (!run_dir.empty()) config.logging.run_dir = run_dir;
  if (options.resume && !config.logging.run_dir) config.logging.run_dir = newest_run();
  if (!config.logging.run_dir) config.logging.run_dir = new_run_dir();
  return config;
}

// What the model reads must be what the template says.
void check_chat_template(const Session& session) {
  const auto& tokenizer = session.model.tokenizer;
  Message user{"user", session.train_tasks.at(0).task.prompt};
  auto text = tokenizer.chat_text({&user, 1}, true);
  if (tokenizer.decode(tokenizer.chat_ids({&user, 1}, true)) == text) return;
  throw std::runtime_error(
      "[self-check] the chat template's text does not survive the tokenizer of " +
      session.model.path);
}

void check_everything(const Session& session, Learner& learner, RunDir& run) {
  if (learns_from_file(session.config.train)) return;  // nothing is sampled
  check_chat_template(session);
  if (session.teacher) session.teacher->check();
  auto trainer = trainer_config(session.config);
  SelfCheckConfig checks{
      trainer.batch,
      session.config.rollout.temperature,
      session.config.train.max_logp_difference,
      session.model.eos_ids.empty() ? -1 : session.model.eos_ids[0]};
  self_check(session.model.decoder, learner, session.stages, checks);
  run.print(
      "checked: gradient, prompt, sampler against trainer, end of sequence, template");
}

// A signal ends an evaluation at once: there is nothing of it to save.
void stop_if_asked() {
  if (!StopSignals::requested()) return;
  throw Stopped("[train] stopped during an evaluation; go on with --resume");
}

Evaluation measure_student(
    const Session& session, Learner& learner, const std::string& when) {
  const auto& config = session.config;
  SamplingPlan plan{
      config.train.eval_samples,
      config.rollout.max_completion_length,
      "evaluating " + when + ": "};
  learner.show_exported(true);
  auto result =
      evaluate(session.eval_groups(), session.eval_stages, plan, stop_if_asked);
  learner.show_exported(false);
  return result;
}

// None where there is none yet, or it is of other tasks than the run has now.
std::optional<Evaluation> kept_before(const Session& session, RunDir& run) {
  auto path = run.path() / "before.json";
  if (!fs::exists(path)) return std::nullopt;
  auto before = evaluation_from_json(read_json_file(path.string()));
  std::vector<std::string> ids, prompts;
  for (const auto& asked : session.eval_tasks) {
    ids.push_back(asked.task.id);
    prompts.push_back(asked.task.prompt);
  }
  if (before.task_ids == ids && before.prompts == prompts) return before;
  run.warn(
      "[resume] before.json is of other tasks than data.eval: the student as it was "
      "before training is measured again");
  return std::nullopt;
}

// The evaluation before training, kept in the run directory for a resumed run; called
// while the student is as it was then.
Evaluation evaluation_before(const Session& session, Learner& learner, RunDir& run) {
  if (auto kept = kept_before(session, run)) return *kept;
  auto before = measure_student(session, learner, "before");
  metric_of(eval_row(before, 0), session.config.train.metric_for_best_model);  // throws
  run.write("before.json", json_text(to_json(before)) + "\n");
  return before;
}

// The evaluation after training counts too, though the trainer does not know of it.
std::optional<BestCheckpoint> best_checkpoint(
    const Session& session,
    RunDir& run,
    const Evaluation& after,
    const Trainer& trainer) {
  const auto& metric = session.config.train.metric_for_best_model;
  auto best = trainer.best();
  auto last = metric_of(eval_row(after, trainer.step()), metric);
  if (last) best.add(*last, trainer.step(), 0);
  if (!best.value) return std::nullopt;
  return BestCheckpoint{best.step, metric, *best.value, run.checkpoint_of(best.step)};
}

void report(
    const Session& session,
    Learner& learner,
    RunDir& run,
    const Evaluation& before,
    const Trainer& trainer) {
  auto after = measure_student(session, learner, "after");
  RunSummary summary{
      session.config.seed,
      trainer.step(),
      trainer.seconds(),
      best_checkpoint(session, run, after, trainer)};
  auto json = report_json(before, after, summary);
  run.write("report.json", json_text(json, 2) + "\n");
  run.write("report.md", report_markdown(json));
  run.print(report_text(json));
}

void print_adapter(const Session& session, RunDir& run) {
  auto folder = run.path() / "adapters";
  if (!fs::exists(folder / "adapters.safetensors")) return;  // no step was taken
  run.print(
      "adapter: " + folder.string() + " (pupil generate --model " + session.model.path +
      " --adapter " + folder.string() + " --prompt \"...\")");
}

void tell_memory(const Session& session, const Learner& learner, RunDir& run) {
  auto plan = memory_plan(session, learner.update_bytes());
  run.print(memory_text(plan));
  auto warning = memory_warning(plan);
  if (!warning.empty()) run.warn(warning);
}

void train_session(const Session& session, Decoder& decoder, RunDir& run, bool resume) {
  auto settings = learner_config(session.config);
  settings.reference = own_reference(session);
  Learner learner(decoder, settings);
  bool evaluates = !session.eval_tasks.empty();
  TrainerHooks hooks;
  hooks.stop_requested = StopSignals::requested;
  hooks.peak_memory = [&] {
    auto of_worker = session.worker ? session.worker->peak_memory_bytes() : 0;
    return peak_memory_bytes() + of_worker;
  };
  hooks.evaluate = [&](int step) {
    if (!evaluates) return nlohmann::ordered_json();
    auto now = measure_student(session, learner, "step " + std::to_string(step));
    return eval_row(now, step);
  };
  JudgeReport judges(session.rewards);
  hooks.on_metrics = [&](const nlohmann::ordered_json& row) { judges.add(row); };
  Trainer trainer(
      learner, session.stages, run, trainer_config(session.config), std::move(hooks));
  check_everything(session, learner, run);
  tell_memory(session, learner, run);
  std::optional<Evaluation> before;
  if (evaluates) before = evaluation_before(session, learner, run);
  if (resume) trainer.resume();
  trainer.run();
  if (before) report(session, learner, run, *before, trainer);
  for (const auto& line : judges.lines()) run.print(line);
  print_adapter(session, run);
  if (session.worker) run.print(worker_text(session.worker->costs()));
  if (session.teacher) run.print("teacher: " + summary_of(session.teacher->stats()));
}

// However it ends, status.json says so.
void train_and_tell(
    const Session& session, Decoder& decoder, RunDir& run, bool resume) {
  RunStatus status;
  status.max_steps = session.config.train.max_steps;
  status.metric = session.config.train.metric_for_best_model;
  auto tell = [&](RunState state, const std::string& message) {
    status.state = state;
    status.message = message;
    write_status(run, status);
  };
  tell(RunState::running, "");
  try {
    train_session(session, decoder, run, resume);
  } catch (const Stopped& stop) {
    tell(RunState::interrupted, stop.what());
    throw;
  } catch (const std::exception& error) {
    tell(RunState::failed, error.what());
    throw;
  }
  tell(RunState::finished, "");
}

void run_train(const TrainOptions& options) {
  StopSignals signals;
  auto config = read_config(options);
  check_run_dir(*config.logging.run_dir, options.resume);
  Session session(config);
  choose_microbatch(session);
  auto lora = session.config.model.adapter_path
                  ? read_adapter_config(*session.config.model.adapter_path)
                  : session.config.lora;
  RunDir run(
      *session.config.logging.run_dir,
      options.resume,
      adapter_config_text(
          lora, session.model.decoder, fs::absolute(session.model.path).string()),
      training_origin(session.config));
  if (session.teacher) session.teacher->keep_ledger(run.path() / "teacher.sqlite");
  run.write("config.yaml", dump_yaml(session.config));
  if (session.config.logging.tensorboard) run.start_tensorboard();
  run.print("run directory: " + run.path().string());
  train_and_tell(session, session.model.decoder, run, options.resume);
}

}  // namespace

namespace {

// `preset`: an override before the user's own.
void add_training(
    CLI::App& app,
    const std::string& name,
    const std::string& help,
    const std::vector<std::string>& preset) {
  auto options = std::make_shared<TrainOptions>();
  auto* command = app.add_subcommand(name, help);
  command->add_option("-c,--config", options->config, "config.yaml (see `pupil init`)");
  auto* resume = command->add_option(
      "--resume",
      options->run_dir,
      "go on with the run in this directory; default: the config's, or the newest");
  resume->expected(0, 1);
  command
      ->add_option(
          "--from-adapter",
          options->from_adapter,
          "start from this adapter, mlx-lm's or PEFT's, instead of a fresh one: "
          "model.adapter_path")
      ->excludes(resume);
  command->footer("Every key: docs/config.md, or the file that `pupil init` writes.");
  command->allow_extras();
  command->callback([options, command, resume, preset] {
    options->resume = resume->count() > 0;
    options->overrides = preset;
    auto given = command->remaining();
    options->overrides.insert(options->overrides.end(), given.begin(), given.end());
    run_train(*options);
  });
}

}  // namespace

void add_train(CLI::App& app) {
  add_training(
      app,
      "train",
      "Teach the student; --section.key=value changes any key of the config",
      {});
}

void add_sft(CLI::App& app) {
  add_training(
      app,
      "sft",
      "Let the student imitate the answers of data.train (docs/training.md): `train` "
      "with method sft",
      {"--train.method=sft"});
}

}  // namespace pupil
