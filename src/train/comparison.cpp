#include "train/comparison.h"

#include <algorithm>
#include <stdexcept>

#include "train/bootstrap.h"
#include "train/evaluation.h"
#include "train/interval_json.h"
#include "train/proportions.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

/// One policy, with its numbers.
struct Counted {
  const Examined* policy;
  Evaluation evaluation;
  std::vector<Passes> passes;  // [tasks]
};

Counted counted(const Examined& policy, const ComparisonSettings& settings) {
  Counted counted{
      &policy, evaluation_of(policy.groups, settings.rewards, settings.ks), {}};
  for (const auto& group : policy.groups) {
    counted.passes.push_back(passes_of(group, settings.rewards));
  }
  return counted;
}

void expect_same_tasks(std::span<const Counted> all) {
  for (const auto& one : all) {
    if (one.evaluation.task_ids == all[0].evaluation.task_ids) continue;
    throw std::invalid_argument("[report] the policies answered different tasks");
  }
}

bool is_greedy(const Examined& policy) {
  return std::ranges::all_of(
      policy.groups, [](const auto& group) { return group.rollouts.size() == 1; });
}

Json entry(const Interval& interval, const char* kind) {
  Json json = to_json(interval);
  json["tasks"] = interval.count;
  json["interval"] = kind;
  return json;
}

Interval wilson_of(const std::vector<Passes>& passes) {
  int tested = 0, passed = 0;
  for (const auto& of_task : passes) {
    tested += of_task.tested;
    passed += of_task.passed;
  }
  return wilson_interval(passed, tested);
}

// A metric that no task has is left out.
Json metrics_json(const Counted& one, uint64_t seed) {
  Json json = Json::object();
  const auto& [metrics, values, ids, prompts, answers] = one.evaluation;
  for (size_t m = 0; m < metrics.size(); ++m) {
    auto interval = bootstrap_mean(values[m], seed);
    if (interval.count == 0) continue;
    bool wilson = metrics[m] == "pass@1" && is_greedy(*one.policy);
    json[metrics[m]] =
        wilson ? entry(wilson_of(one.passes), "wilson") : entry(interval, "bootstrap");
  }
  return json;
}

Json difference_json(const Counted& first, const Counted& second, uint64_t seed) {
  Json json = Json::object();
  const auto& names = first.evaluation.metrics;
  for (size_t m = 0; m < names.size(); ++m) {
    auto interval = bootstrap_difference(
        first.evaluation.values[m], second.evaluation.values[m], seed);
    if (interval.count > 0) json[names[m]] = entry(interval, "paired bootstrap");
  }
  return json;
}

std::optional<bool> is_solved(const Passes& passes) {
  if (passes.tested == 0) return std::nullopt;
  return 2 * passes.passed >= passes.tested;
}

/// Tasks that one policy solves and the other does not.
struct Flips {
  std::vector<size_t> gained, lost;
};

Flips flips_of(const Counted& first, const Counted& second) {
  Flips flips;
  for (size_t i = 0; i < first.passes.size(); ++i) {
    auto was = is_solved(first.passes[i]), is = is_solved(second.passes[i]);
    if (!was || !is || *was == *is) continue;
    (*is ? flips.gained : flips.lost).push_back(i);
  }
  return flips;
}

Json flips_json(const Flips& flips, const std::vector<std::string>& ids) {
  Json json = {{"gained", Json::array()}, {"lost", Json::array()}};
  for (size_t i : flips.gained) json["gained"].push_back(ids[i]);
  for (size_t i : flips.lost) json["lost"].push_back(ids[i]);
  json["mcnemar_p"] = mcnemar_p(
      static_cast<int>(flips.gained.size()), static_cast<int>(flips.lost.size()));
  return json;
}

// The first sample that shows why the task counts as solved or not.
const std::string& telling_answer(
    const Counted& one, size_t task, const std::vector<std::string>& rewards) {
  const auto& group = one.policy->groups[task];
  bool solved = is_solved(one.passes[task]).value_or(false);
  for (const auto& rollout : group.rollouts) {
    auto passes = passes_of({{}, {}, {rollout}}, rewards);
    if (passes.tested == 1 && (passes.passed == 1) == solved)
      return rollout.completion.text;
  }
  return group.rollouts.at(0).completion.text;
}

Json flipped_json(
    std::span<const Counted> both,
    const Flips& flips,
    const std::vector<std::string>& rewards) {
  std::vector<size_t> tasks = flips.gained;
  tasks.insert(tasks.end(), flips.lost.begin(), flips.lost.end());
  Json json = Json::array();
  for (size_t i : tasks) {
    const auto& task = both[0].policy->groups[i].task;
    Json& flipped = json.emplace_back(Json{{"task", task.id}, {"prompt", task.prompt}});
    for (const auto& one : both)
      flipped[one.policy->name] = telling_answer(one, i, rewards);
  }
  return json;
}

Json judge_json(const JudgedPairs& judged, uint64_t seed) {
  auto interval = bootstrap_mean(judged.wins, seed);
  Json json = {{"win_rate", nullptr}};
  if (interval.count > 0) json["win_rate"] = entry(interval, "bootstrap");
  json["won"] = judged.won;
  json["tied"] = judged.tied;
  json["lost"] = judged.lost;
  json["unscored"] = judged.unscored;
  return json;
}

Json task_json(const Counted& one, size_t task) {
  Json json = {
      {"tested", one.passes[task].tested}, {"passed", one.passes[task].passed}};
  const auto& evaluation = one.evaluation;
  for (size_t m = 0; m < evaluation.metrics.size(); ++m) {
    const auto& value = evaluation.values[m][task];
    json[evaluation.metrics[m]] = value ? Json(*value) : Json();
  }
  return json;
}

Json tasks_json(std::span<const Counted> all) {
  Json tasks = Json::array();
  const auto& ids = all[0].evaluation.task_ids;
  for (size_t i = 0; i < ids.size(); ++i) {
    Json& task = tasks.emplace_back(Json{{"id", ids[i]}});
    for (const auto& one : all) task[one.policy->name] = task_json(one, i);
  }
  return tasks;
}

}  // namespace

Json comparison_json(
    std::span<const Examined> policies,
    const std::optional<JudgedPairs>& judged,
    const ComparisonSettings& settings) {
  std::vector<Counted> all;
  for (const auto& policy : policies) all.push_back(counted(policy, settings));
  expect_same_tasks(all);
  Json report = Json::object();
  for (const auto& one : all)
    report[one.policy->name] = metrics_json(one, settings.seed);
  if (all.size() == 2) {
    auto flips = flips_of(all[0], all[1]);
    report["difference"] = difference_json(all[0], all[1], settings.seed);
    report["flips"] = flips_json(flips, all[0].evaluation.task_ids);
    if (judged) report["judge"] = judge_json(*judged, settings.seed);
    report["flipped"] = flipped_json(all, flips, settings.rewards);
  }
  report["tasks"] = tasks_json(all);
  return report;
}

}  // namespace pupil
