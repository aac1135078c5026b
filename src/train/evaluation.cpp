#include "train/evaluation.h"

#include <algorithm>
#include <stdexcept>

#include "algo/advantage.h"
#include "algo/pass_at_k.h"

namespace pupil {

namespace {

std::optional<double> mean_of(const GroupRewards& values) {
  auto spread = spread_of(values);
  return spread.count ? std::optional(spread.mean) : std::nullopt;
}

template <class F>
std::optional<double> mean_over(const RolloutGroup& group, F&& value) {
  GroupRewards values;
  for (const auto& rollout : group.rollouts) values.push_back(value(rollout));
  return mean_of(values);
}

std::optional<double> score_at(const Rollout& rollout, size_t k) {
  return k < rollout.scores.size() ? rollout.scores[k].value : std::nullopt;
}

using Json = nlohmann::ordered_json;

// 1, 2, 4, ... and all of the samples.
std::vector<int> ks_of(int num_samples) {
  std::vector<int> ks;
  for (int k = 1; k < num_samples; k *= 2) ks.push_back(k);
  ks.push_back(num_samples);
  return ks;
}

bool are_tested(const std::vector<std::string>& rewards) {
  return std::find(rewards.begin(), rewards.end(), "tests") != rewards.end();
}

// Of the samples whose tests were run; none where they are fewer than k.
std::vector<std::optional<double>> passes_at(
    const Passes& passes, const std::vector<int>& ks) {
  std::vector<std::optional<double>> values;
  for (int k : ks) {
    values.push_back(
        passes.tested >= k ? std::optional(pass_at_k(passes.tested, passes.passed, k))
                           : std::nullopt);
  }
  return values;
}

// One value for each metric, in the order of `metric_names`.
std::vector<std::optional<double>> values_of(
    const RolloutGroup& group,
    const std::vector<std::string>& names,
    const std::vector<int>& ks) {
  std::vector<std::optional<double>> values;
  values.push_back(mean_over(group, [](const Rollout& r) { return r.reward; }));
  for (size_t k = 0; k < names.size(); ++k) {
    values.push_back(
        mean_over(group, [&](const Rollout& r) { return score_at(r, k); }));
  }
  if (are_tested(names)) {
    auto passes = passes_at(passes_of(group, names), ks);
    values.insert(values.end(), passes.begin(), passes.end());
  }
  values.push_back(mean_over(group, [](const Rollout& r) {
    return std::optional(static_cast<double>(r.completion.tokens.size()));
  }));
  return values;
}

std::vector<std::string> metric_names(
    const std::vector<std::string>& rewards, const std::vector<int>& ks) {
  std::vector<std::string> names = {"reward"};
  names.insert(names.end(), rewards.begin(), rewards.end());
  for (int k : ks) {
    if (are_tested(rewards)) names.push_back("pass@" + std::to_string(k));
  }
  names.push_back("length");
  return names;
}

// Of the sample whose reward is the median, so that the report shows what is usual.
std::string typical_answer(const RolloutGroup& group) {
  if (group.rollouts.empty()) return "";
  std::vector<const Rollout*> sorted;
  for (const auto& rollout : group.rollouts) sorted.push_back(&rollout);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return a->reward < b->reward;  // no reward is less than any
  });
  return sorted[sorted.size() / 2]->completion.text;
}

void add_group(
    Evaluation& evaluation,
    const RolloutGroup& group,
    const std::vector<std::string>& rewards,
    const std::vector<int>& ks) {
  auto values = values_of(group, rewards, ks);
  for (size_t m = 0; m < values.size(); ++m) evaluation.values[m].push_back(values[m]);
  evaluation.task_ids.push_back(group.task.id);
  evaluation.prompts.push_back(group.task.prompt);
  evaluation.answers.push_back(typical_answer(group));
}

}  // namespace

Passes passes_of(const RolloutGroup& group, const std::vector<std::string>& rewards) {
  Passes passes;
  const size_t tests =
      std::find(rewards.begin(), rewards.end(), "tests") - rewards.begin();
  for (const auto& rollout : group.rollouts) {
    auto score = score_at(rollout, tests);
    passes.tested += score.has_value();
    passes.passed += score.value_or(0) >= 1.0;
  }
  return passes;
}

Evaluation evaluation_of(
    std::span<const RolloutGroup> groups,
    const std::vector<std::string>& rewards,
    const std::vector<int>& ks) {
  Evaluation evaluation;
  evaluation.metrics = metric_names(rewards, ks);
  evaluation.values.resize(evaluation.metrics.size());
  for (const auto& group : groups) add_group(evaluation, group, rewards, ks);
  return evaluation;
}

Evaluation evaluate(
    std::vector<RolloutGroup> groups,
    const Stages& stages,
    const SamplingPlan& plan,
    const std::function<void()>& on_token) {
  sample_with_progress(stages, groups, plan, on_token);
  score_with_progress(stages, groups, plan);
  return evaluation_of(groups, stages.reward_names, ks_of(plan.num_generations));
}

Json to_json(const Evaluation& evaluation) {
  Json json = {{"tasks", evaluation.task_ids}};
  for (size_t m = 0; m < evaluation.metrics.size(); ++m) {
    auto values = Json::array();
    for (const auto& v : evaluation.values[m]) values.push_back(v ? Json(*v) : Json());
    json["metrics"].push_back({{"name", evaluation.metrics[m]}, {"values", values}});
  }
  json["prompts"] = evaluation.prompts;
  json["answers"] = evaluation.answers;
  return json;
}

Evaluation evaluation_from_json(const nlohmann::json& json) {
  try {
    Evaluation evaluation;
    evaluation.task_ids = json.at("tasks").get<std::vector<std::string>>();
    evaluation.prompts = json.at("prompts").get<std::vector<std::string>>();
    evaluation.answers = json.at("answers").get<std::vector<std::string>>();
    for (const auto& metric : json.at("metrics")) {
      evaluation.metrics.push_back(metric.at("name").get<std::string>());
      auto& values = evaluation.values.emplace_back();
      for (const auto& v : metric.at("values")) {
        values.push_back(v.is_null() ? std::nullopt : std::optional(v.get<double>()));
      }
      if (values.size() != evaluation.task_ids.size()) {
        throw std::invalid_argument("values and tasks differ in number");
      }
    }
    return evaluation;
  } catch (const std::exception& error) {
    throw std::invalid_argument(
        std::string("[evaluation] not a stored evaluation: ") + error.what());
  }
}

Json eval_row(const Evaluation& evaluation, int step) {
  Json row = {{"step", step}};
  for (size_t m = 0; m < evaluation.metrics.size(); ++m) {
    const auto& name = evaluation.metrics[m];
    auto mean = mean_of(evaluation.values[m]);
    auto key = name == "reward"            ? std::string("eval_reward")
               : name == "length"          ? std::string("eval_completions/mean_length")
               : name.starts_with("pass@") ? "eval_" + name
                                           : "eval_rewards/" + name + "/mean";
    row[key] = mean ? Json(*mean) : Json();
  }
  return row;
}

}  // namespace pupil
