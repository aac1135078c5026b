// `pupil score`: the whole reward stack over answers that stand in a file.

#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>

#include "app/assemble.h"
#include "app/commands.h"
#include "app/local_judge.h"
#include "app/reward_table.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/table.h"
#include "config/load_config.h"
#include "data/completion_file.h"
#include "data/tasks.h"
#include "models/model_config.h"
#include "text/tokenizer.h"

namespace pupil {

namespace {

struct ScoreOptions {
  std::string tasks, completions, config;
  bool json = false;
  std::vector<std::string> overrides;
};

/// The answers as rollouts, those of a task in one group, and where each line went.
struct Answers {
  std::vector<CompletionLine> lines;
  std::vector<RolloutGroup> groups;
  std::vector<std::pair<size_t, size_t>> places;  // [lines] group, row

  const Rollout& of_line(size_t i) const {
    return groups[places[i].first].rollouts[places[i].second];
  }
};

Answers read_answers(const ScoreOptions& options) {
  const auto tasks = load_tasks(options.tasks, std::nullopt);
  Answers answers;
  answers.lines = read_completion_file(options.completions, tasks, options.tasks);
  std::map<size_t, size_t> group_of_task;
  for (const auto& line : answers.lines) {
    auto [at, is_new] = group_of_task.emplace(line.task, answers.groups.size());
    if (is_new) answers.groups.push_back({{}, tasks[line.task], {}});
    auto& rollouts = answers.groups[at->second].rollouts;
    auto& completion = rollouts.emplace_back().completion;
    completion.text = line.text;
    completion.finish = FinishReason::stop;
    completion.is_text_only = true;
    answers.places.emplace_back(at->second, rollouts.size() - 1);
  }
  return answers;
}

bool has_function(const Config& config, const std::string& name) {
  for (const auto& function : config.reward.functions) {
    if (function.name == name) return true;
  }
  return false;
}

// As the student would have written it: its tokens, and the end of sequence.
void add_tokens(Answers& answers, const std::string& model_dir) {
  const Tokenizer tokenizer(model_dir);
  auto ends = read_eos_ids(model_dir);
  if (ends.empty()) ends = {tokenizer.eos_id()};
  for (auto& group : answers.groups) {
    for (auto& rollout : group.rollouts) {
      auto& completion = rollout.completion;
      completion.tokens = tokenizer.encode_plain(completion.text);
      completion.tokens.push_back(ends[0]);
      completion.is_text_only = false;
    }
  }
}

// Only `length` and `repetition` look at tokens; without a tokenizer they give no
// score.
void add_tokens_if_needed(Answers& answers, const Config& config) {
  if (!has_function(config, "length") && !has_function(config, "repetition")) return;
  try {
    add_tokens(answers, config.hardware.mlx_model_path);
  } catch (const std::invalid_argument& error) {
    log_warning(
        "[score] length and repetition count tokens, for which "
        "hardware.mlx_model_path has no tokenizer; they are unscored: " +
        std::string(error.what()));
  }
}

/// A run's directory is none of ours, and no trouble of a program's ends the scoring.
Config read_config(const ScoreOptions& options) {
  auto config = load_config(options.config, options.overrides);
  config.logging.run_dir.reset();
  for (auto& function : config.reward.functions) {
    if (!function.command.empty()) function.on_failure = "unscored";
  }
  return config;
}

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

void print_json(const Answers& answers, std::span<const RewardFunction> functions) {
  for (size_t i = 0; i < answers.lines.size(); ++i) {
    const auto& rollout = answers.of_line(i);
    Json rewards = Json::object(), reasons = Json::object();
    for (size_t k = 0; k < functions.size(); ++k) {
      const auto& [value, reason] = rollout.scores[k];
      rewards[functions[k].name] = number(value);
      if (!reason.empty()) reasons[functions[k].name] = reason;
    }
    const Json object = {
        {"id", answers.lines[i].id},
        {"reward", number(rollout.reward)},
        {"rewards", rewards},
        {"reasons", reasons}};
    std::printf("%s\n", json_text(object).c_str());
  }
}

std::string cell(const std::optional<double>& value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", value.value_or(0));
  return value ? text : "-";
}

/// Sums of one column, for the last rows of the table.
struct Column {
  double sum = 0;
  size_t scored = 0, all = 0;

  std::string add(const std::optional<double>& value) {
    ++all;
    scored += value.has_value();
    sum += value.value_or(0);
    return cell(value);
  }
  std::string mean() const {
    return cell(
        scored > 0 ? std::optional(sum / static_cast<double>(scored)) : std::nullopt);
  }
};

void print_table(const Answers& answers, std::span<const RewardFunction> functions) {
  Table table;
  table.header = {"task", "reward"};
  for (const auto& function : functions) table.header.push_back(function.name);
  std::vector<Column> columns(1 + functions.size());
  for (size_t i = 0; i < answers.lines.size(); ++i) {
    const auto& rollout = answers.of_line(i);
    const auto& task = answers.groups[answers.places[i].first].task;
    auto& row = table.rows.emplace_back();
    row = {task.id, columns[0].add(rollout.reward)};
    for (size_t k = 0; k < functions.size(); ++k) {
      row.push_back(columns[1 + k].add(rollout.scores[k].value));
    }
  }
  std::vector<std::string> means = {"mean"}, unscored = {"unscored"};
  for (const auto& column : columns) {
    means.push_back(column.mean());
    unscored.push_back(std::to_string(column.all - column.scored));
  }
  table.rows.push_back(std::move(means));
  table.rows.push_back(std::move(unscored));
  std::printf("%s", terminal_table(table).c_str());
}

std::shared_ptr<Teacher> teacher_of(const Config& config) {
  if (!has_function(config, "teacher")) return nullptr;
  if (config.teacher.provider != "local") return make_teacher(config);
  choose_hardware(config.hardware);
  return make_teacher(
      config, local_judge(config.teacher, config.hardware.mlx_model_path));
}

void run_score(const ScoreOptions& options) {
  const Config config = read_config(options);
  auto answers = read_answers(options);
  add_tokens_if_needed(answers, config);
  const auto teacher = teacher_of(config);
  const auto functions = make_rewards(config, teacher);
  {
    Progress progress(
        "scoring",
        "scores",
        static_cast<int64_t>(answers.lines.size() * functions.size()));
    score_groups(
        functions, answers.groups, [&](int64_t count) { progress.advance(count); });
  }
  options.json ? print_json(answers, functions) : print_table(answers, functions);
}

}  // namespace

void add_score(CLI::App& app) {
  auto options = std::make_shared<ScoreOptions>();
  auto* command = app.add_subcommand(
      "score",
      "Score answers by the rewards of a config; --section.key=value changes any key "
      "of the config");
  command->add_option("--tasks", options->tasks, "tasks, as `pupil train` reads them")
      ->required();
  command
      ->add_option(
          "--completions",
          options->completions,
          "JSON Lines: {\"id\": task id, \"completion\": text}, any number a task")
      ->required();
  command->add_option(
      "-c,--config",
      options->config,
      "config.yaml; default: the rewards that a config has without one");
  command->add_flag("--json", options->json, "one JSON object a completion");
  command->allow_extras();
  command->callback([options, command] {
    options->overrides = command->remaining();
    run_score(*options);
  });
}

}  // namespace pupil
