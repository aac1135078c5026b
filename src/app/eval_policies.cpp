#include "app/eval_policies.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "app/assemble.h"
#include "app/local_judge.h"
#include "app/reward_table.h"
#include "app/samples.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "base/stopwatch.h"
#include "models/adapters.h"
#include "reward/teacher.h"

namespace pupil {

namespace {

// Tasks that are sampled, or judged, and kept together.
size_t tasks_at_once(size_t num_samples) {
  constexpr size_t kAnswersAtOnce = 64;
  return std::max<size_t>(1, kAnswersAtOnce / num_samples);
}

void stop_if_asked() {
  if (!StopSignals::requested()) return;
  throw Stopped(
      "[eval] stopped; with --out what is done is kept, and the same command goes on");
}

bool asks_teacher(const Config& config) {
  return std::ranges::any_of(config.reward.functions, [](const auto& function) {
    return function.name == "teacher";
  });
}

// Called while the model has no adapter: a judge `student` is the base.
std::shared_ptr<Teacher> teacher_of(const Config& config, const Model& model) {
  if (!asks_teacher(config)) return nullptr;
  if (config.teacher.provider != "local") return make_teacher(config);
  return make_teacher(config, local_judge(config.teacher, model));
}

std::vector<int> prompt_of(const Task& task, const EvalPlan& plan, const Model& model) {
  auto tokens = model.tokenizer.chat_ids(chat_of(task, plan.config), true);
  auto room = model.decoder.config.max_positions;
  auto most = plan.sampling.max_tokens;
  if (tokens.size() + static_cast<size_t>(most) <= static_cast<size_t>(room))
    return tokens;
  throw std::invalid_argument(
      "[eval] task " + task.id + ": its prompt of " + std::to_string(tokens.size()) +
      " tokens and up to " + std::to_string(most) + " new ones exceed the model's " +
      std::to_string(room) + " positions; lower --max-tokens");
}

std::string speed_text(int64_t tokens, double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f tok/s", static_cast<double>(tokens) / seconds);
  return text;
}

// Of one pair, from the judge's scores of the base's answer and the adapter's, which
// are shares of won comparisons: two answers that need no judge both have 0.
std::optional<double> win_of(const Score& base, const Score& adapter) {
  if (!base.value || !adapter.value) return std::nullopt;
  return *base.value + *adapter.value == 0 ? 0.5 : *adapter.value;
}

void count(JudgedPairs& judged, const std::optional<double>& win) {
  if (!win) {
    ++judged.unscored;
  } else if (*win == 0.5) {
    ++judged.tied;
  } else {
    ++(*win > 0.5 ? judged.won : judged.lost);
  }
}

using Groups = std::span<const RolloutGroup>;

// Two scores a pair, the base's first. A judge tells groups apart by where their task
// lies, so each pair has its own.
std::vector<Score> judge_pairs(Teacher& judge, Groups base, Groups adapter) {
  std::vector<Task> tasks;
  for (const auto& group : base)
    tasks.insert(tasks.end(), group.rollouts.size(), group.task);
  std::vector<Sample> samples;
  auto task = tasks.begin();
  for (size_t i = 0; i < base.size(); ++i) {
    for (size_t row = 0; row < base[i].rollouts.size(); ++row, ++task) {
      samples.push_back({&*task, &base[i].rollouts[row].completion});
      samples.push_back({&*task, &adapter[i].rollouts[row].completion});
    }
  }
  return judge.judge(samples);
}

void add_task(JudgedPairs& judged, std::span<const Score> scores) {
  double sum = 0, num = 0;
  for (size_t i = 0; i < scores.size(); i += 2) {
    auto win = win_of(scores[i], scores[i + 1]);
    count(judged, win);
    if (!win) continue;
    sum += *win;
    ++num;
  }
  judged.wins.push_back(num > 0 ? std::optional(sum / num) : std::nullopt);
}

// As a run with this config samples.
Model base_model(const Config& config) {
  auto model = load_model(config.hardware.mlx_model_path);
  model.decoder.kv_bits = kv_bits_of(config);
  return model;
}

}  // namespace

EvalPolicies::EvalPolicies(const EvalPlan& plan)
    : plan_(plan),
      model_(base_model(plan.config)),
      policies_{{"base", model_.decoder}} {
  if (const auto& adapter = plan.config.model.adapter_path) {
    auto& policy = policies_.emplace_back("adapter", model_.decoder);
    load_adapters(policy.second, *adapter);
  }
  for (const auto& task : plan.tasks) prompts_.push_back(prompt_of(task, plan, model_));
  teacher_ = teacher_of(plan.config, model_);
  rewards_ = make_rewards(plan.config, teacher_);
}

std::vector<std::string> EvalPolicies::reward_names() const {
  std::vector<std::string> names;
  for (const auto& function : rewards_) names.push_back(function.name);
  return names;
}

std::vector<RolloutGroup> EvalPolicies::groups() const {
  std::vector<RolloutGroup> groups;
  for (size_t i = 0; i < prompts_.size(); ++i)
    groups.push_back({{prompts_[i], eval_key(i)}, plan_.tasks[i], {}});
  return groups;
}

std::shared_ptr<Teacher> EvalPolicies::make_judge(EvalFolder& folder) const {
  Config config = plan_.config;
  config.teacher.mode = "pairwise";
  bool local = config.teacher.provider == "local";
  auto judge = local ? make_teacher(config, local_judge(config.teacher, model_))
                     : make_teacher(config);
  auto ledger = folder.scratch_path("teacher.sqlite");
  if (!ledger.empty()) judge->keep_ledger(ledger);
  return judge;
}

std::vector<Examined> EvalPolicies::examine(EvalFolder& folder) {
  if (plan_.judge) make_judge(folder)->check();
  auto ledger = folder.scratch_path("teacher.sqlite");
  if (teacher_ && !ledger.empty()) teacher_->keep_ledger(ledger);
  if (teacher_) teacher_->check();
  std::vector<Examined> examined;
  for (const auto& [name, decoder] : policies_)
    examined.push_back(examine_one(name, decoder, folder));
  rewards_.clear();
  teacher_.reset();  // closes the ledger
  return examined;
}

Examined EvalPolicies::examine_one(
    const std::string& name, const Decoder& decoder, EvalFolder& folder) {
  Examined examined{name, groups()};
  auto& all = examined.groups;
  auto n = static_cast<size_t>(plan_.num_samples);
  Progress progress(
      "examining the " + name, "answers", static_cast<int64_t>(all.size() * n));
  size_t done = 0;
  for (; done < all.size() && folder.fill(name, all[done]); ++done)
    progress.advance(plan_.num_samples);
  model_.decoder = decoder;
  while (done < all.size()) {
    auto part =
        std::span(all).subspan(done, std::min(tasks_at_once(n), all.size() - done));
    sample(part, progress);
    score_groups(rewards_, part);
    for (const auto& group : part) folder.add(name, group);
    done += part.size();
  }
  return examined;
}

void EvalPolicies::sample(std::span<RolloutGroup> groups, Progress& progress) {
  std::vector<Prompt> prompts;
  for (const auto& group : groups) prompts.push_back(group.prompt);
  Stopwatch watch;
  int64_t tokens = 0;
  auto on_token = [&](int, int, int, bool last) {
    stop_if_asked();
    ++tokens;
    if (!last) return;
    progress.note(speed_text(tokens, watch.seconds()));
    progress.advance();
  };
  auto all = generate(model_, prompts, plan_.num_samples, plan_.sampling, on_token);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (auto& completion : all[g])
      groups[g].rollouts.emplace_back().completion = std::move(completion);
  }
}

JudgedPairs EvalPolicies::judge(
    const std::vector<Examined>& policies, EvalFolder& folder) {
  auto judge = make_judge(folder);
  const Groups base(policies.at(0).groups), adapter(policies.at(1).groups);
  auto n = static_cast<size_t>(plan_.num_samples);
  JudgedPairs judged;
  Progress progress("judging", "tasks", static_cast<int64_t>(base.size()));
  for (size_t begin = 0; begin < base.size(); begin += tasks_at_once(n)) {
    stop_if_asked();
    size_t count = std::min(tasks_at_once(n), base.size() - begin);
    auto scores =
        judge_pairs(*judge, base.subspan(begin, count), adapter.subspan(begin, count));
    for (size_t i = 0; i < count; ++i)
      add_task(judged, std::span(scores).subspan(2 * n * i, 2 * n));
    progress.advance(static_cast<int64_t>(count));
  }
  return judged;
}

}  // namespace pupil
