// `pupil collect`: scored answers of the teacher or the student as JSON Lines, the
// input of supervised fine-tuning and of preference methods.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

#include "app/assemble.h"
#include "app/collect_file.h"
#include "app/collect_rows.h"
#include "app/commands.h"
#include "app/fingerprint.h"
#include "app/reward_table.h"
#include "app/samples.h"
#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/sha256.h"
#include "base/signals.h"
#include "config/load_config.h"
#include "data/tasks.h"
#include "reward/reward.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kAnswersAtOnce = 64;

struct CollectOptions {
  std::string config, out, source = "auto";
  std::optional<double> min_reward;
  bool pairs = false;
  std::vector<std::string> overrides;
};

/// Who answers and who scores.
struct Collector {
  std::unique_ptr<Session> session;  // null: the teacher alone, without a student
  std::shared_ptr<Teacher> teacher;
  std::vector<RewardFunction> rewards;
  std::vector<RolloutGroup> groups;  // one a task, to be filled
  std::function<void(std::span<RolloutGroup>)> generate;
};

Config read_config(const CollectOptions& options) {
  auto config = load_config(options.config, options.overrides);
  if (options.source == "teacher") config.hardware.use_mlx_for_generation = false;
  if (options.source == "student") config.hardware.use_mlx_for_generation = true;
  return config;
}

// A completion without tokens counts as missing, and without a student there is nobody
// to say which they are.
void fill(RolloutGroup& group, const std::vector<WrittenAnswer>& answers) {
  group.rollouts.clear();
  for (const auto& answer : answers) {
    auto& rollout = group.rollouts.emplace_back();
    rollout.source = Source::teacher;
    rollout.missing = answer.reason;
    if (!answer.text) continue;
    rollout.completion.text = *answer.text;
    rollout.completion.finish = answer.finish;
    rollout.completion.tokens = {0};
  }
}

Collector by_teacher(const Config& config) {
  if (config.teacher.provider == "none" || config.teacher.provider == "local") {
    throw std::invalid_argument(
        "[collect] there is no teacher to write the answers; set teacher.provider to a "
        "chat API, or use --source student");
  }
  Collector collector;
  collector.teacher = make_teacher(config);
  for (auto& task : load_tasks(config.data.train, config.data.limit)) {
    collector.groups.push_back({{}, std::move(task), {}});
  }
  collector.rewards = make_rewards(config, collector.teacher);
  collector.generate = [teacher = collector.teacher, config](auto groups) {
    std::vector<std::vector<Message>> chats;
    for (const auto& group : groups) chats.push_back(chat_of(group.task, config));
    const auto& rollout = config.rollout;
    auto answers = teacher->write_answers(
        chats,
        rollout.num_generations,
        rollout.temperature,
        rollout.max_completion_length);
    for (size_t g = 0; g < groups.size(); ++g) fill(groups[g], answers[g]);
  };
  return collector;
}

Collector by_student(const Config& config) {
  Collector collector;
  collector.session = std::make_unique<Session>(config);
  const Session& session = *collector.session;
  collector.teacher = session.teacher;
  collector.rewards = session.rewards;
  for (const auto& asked : session.train_tasks) {
    uint64_t key = collector.groups.size();
    collector.groups.push_back({{asked.tokens, key}, asked.task, {}});
  }
  int n = session.config.rollout.num_generations;
  collector.generate = [&session, n](auto groups) {
    session.stages.generate(groups, n, {});
  };
  return collector;
}

// The pairs that the teacher has a winner of, where it judges pairs: after the scoring
// its answers are in the cache.
std::vector<Comparison> comparisons_of(
    const RolloutGroup& group, const Config& config, Teacher* teacher) {
  bool judged = std::ranges::any_of(config.reward.functions, [&](const auto& function) {
    return function.name == "teacher" && is_looked_at(group, function.share);
  });
  if (!teacher || !judged || config.teacher.mode != "pairwise") return {};
  return teacher->compare(samples_of(group));
}

Json rows_of(
    const RolloutGroup& group,
    const Config& config,
    const CollectOptions& options,
    Teacher* teacher,
    CollectCounts& counts) {
  if (!options.pairs) return answer_rows(group, config, options.min_reward, counts);
  auto comparisons = comparisons_of(group, config, teacher);
  return pair_rows(group, comparisons, config, options.min_reward, counts);
}

std::string fingerprint_of(const Config& config, const CollectOptions& options) {
  Sha256 hash;
  hash.field(answers_sha256(config)).field(read_file(config.data.train));
  hash.field(options.source).field(options.min_reward.value_or(-1));
  hash.field(int64_t{options.pairs});
  return hash.hex();
}

std::string ledger_path(const std::string& out) {
  return out + ".spent.sqlite";
}

void remove_ledger(const std::string& path) {
  for (const char* end : {"", "-wal", "-shm"}) fs::remove(path + end);
}

void stop_if_asked(const CollectFile& file) {
  if (!StopSignals::requested()) return;
  throw Stopped(
      "[collect] stopped after " + std::to_string(file.num_tasks()) +
      " tasks, all kept; the same command goes on");
}

CollectCounts collect_all(
    Collector& collector,
    const Config& config,
    const CollectOptions& options,
    CollectFile& file) {
  CollectCounts counts;
  auto n = static_cast<size_t>(config.rollout.num_generations);
  size_t at_once = std::max<size_t>(1, kAnswersAtOnce / n), total;
  std::span<RolloutGroup> groups(collector.groups);
  Progress progress("collecting", "tasks", static_cast<int64_t>(groups.size()));
  progress.advance(static_cast<int64_t>(file.num_tasks()));
  while ((total = file.num_tasks()) < groups.size()) {
    stop_if_asked(file);
    auto part = groups.subspan(total, std::min(at_once, groups.size() - total));
    collector.generate(part);
    score_groups(collector.rewards, part);
    for (auto& group : part) {
      file.add(rows_of(group, config, options, collector.teacher.get(), counts));
    }
    progress.advance(static_cast<int64_t>(part.size()));
    for (auto& group : part) group.rollouts = {};
  }
  return counts;
}

void print_summary(
    const CollectOptions& options,
    size_t rows,
    const CollectCounts& counts,
    Teacher* teacher) {
  const char* what = options.pairs ? "pairs" : "answers";
  std::printf("wrote %zu %s to %s", rows, what, options.out.c_str());
  auto left_out = [](int64_t count, const char* why) {
    if (count) std::printf(", %lld %s", static_cast<long long>(count), why);
  };
  left_out(counts.missing, "were not written");
  left_out(counts.unscored, "left out unscored");
  left_out(counts.low, "left out below --min-reward");
  left_out(counts.undecided, "tasks without a better answer");
  std::printf("\n");
  if (teacher) std::printf("teacher: %s\n", summary_of(teacher->stats()).c_str());
}

void run_collect(const CollectOptions& options) {
  StopSignals signals;
  auto config = read_config(options);
  bool teacher_writes = !config.hardware.use_mlx_for_generation;
  auto collector = teacher_writes ? by_teacher(config) : by_student(config);
  auto ledger = ledger_path(options.out);
  CollectFile file(options.out, fingerprint_of(config, options));
  if (!file.goes_on()) remove_ledger(ledger);
  if (collector.teacher) {
    collector.teacher->keep_ledger(ledger);
    collector.teacher->check();
  }
  auto counts = collect_all(collector, config, options, file);
  auto rows = file.publish();
  print_summary(options, rows, counts, collector.teacher.get());
  collector = {};  // closes it
  remove_ledger(ledger);
}

}  // namespace

void add_collect(CLI::App& app) {
  auto options = std::make_shared<CollectOptions>();
  auto* command = app.add_subcommand(
      "collect", "Write scored answers to the training tasks as chat JSON Lines");
  command->add_option("-c,--config", options->config, "config.yaml (see `pupil init`)")
      ->required();
  command->add_option("--out", options->out, "the file to write")->required();
  command
      ->add_option(
          "--source", options->source, "who answers; auto: as in training (rollout)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "teacher", "student"}));
  command->add_option(
      "--min-reward", options->min_reward, "leave out what has a lower reward");
  command->add_flag(
      "--pairs",
      options->pairs,
      "write pairs of a better and a worse answer, for train.method dpo, ipo, simpo");
  command->footer("--section.key=value changes any key of the config.");
  command->allow_extras();
  command->callback([options, command] {
    options->overrides = command->remaining();
    run_collect(*options);
  });
}

}  // namespace pupil
