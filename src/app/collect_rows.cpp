#include "app/collect_rows.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "app/samples.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;
using Pair = std::pair<const Rollout*, const Rollout*>;  // the better one first

Json message(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

Json prompt_of(const RolloutGroup& group, const Config& config) {
  Json messages = Json::array();
  for (const auto& [role, content] : chat_of(group.task, config)) {
    messages.push_back(message(role, content));
  }
  return messages;
}

Json as_row(const RolloutGroup& group, const Rollout& rollout, Json messages) {
  messages.push_back(message("assistant", rollout.completion.text));
  bool whole = rollout.completion.finish == FinishReason::stop;
  return {
      {"messages", std::move(messages)},
      {"reward", *rollout.reward},
      {"source", rollout.source == Source::teacher ? "teacher" : "student"},
      {"task", group.task.id},
      {"finish_reason", whole ? "stop" : "length"}};
}

std::vector<const Rollout*> present(const RolloutGroup& group) {
  std::vector<const Rollout*> rollouts;
  for (const auto& rollout : group.rollouts) {
    if (rollout.missing.empty()) rollouts.push_back(&rollout);
  }
  return rollouts;
}

std::vector<Pair> decided(
    const std::vector<const Rollout*>& rollouts,
    std::span<const Comparison> comparisons) {
  std::vector<Pair> pairs;
  for (const auto& [first, second, score, reason] : comparisons) {
    if (!score || *score == 0.5) continue;
    auto better = *score > 0.5 ? first : second;
    auto worse = *score > 0.5 ? second : first;
    pairs.emplace_back(rollouts.at(better), rollouts.at(worse));
  }
  return pairs;
}

std::vector<Pair> extremes(const std::vector<const Rollout*>& rollouts) {
  std::vector<const Rollout*> scored;
  std::ranges::copy_if(rollouts, std::back_inserter(scored), [](const Rollout* r) {
    return r->reward.has_value();
  });
  auto by_reward = [](const Rollout* a, const Rollout* b) {
    return *a->reward < *b->reward;
  };
  if (scored.empty()) return {};
  auto [worst, best] = std::ranges::minmax_element(scored, by_reward);
  if (*(*worst)->reward == *(*best)->reward) return {};
  return {{*best, *worst}};
}

Json reward_of(const Rollout& rollout) {
  return rollout.reward ? Json(*rollout.reward) : Json(nullptr);
}

bool is_low(const Rollout& rollout, std::optional<double> least) {
  return least && rollout.reward && *rollout.reward < *least;
}

}  // namespace

Json answer_rows(
    const RolloutGroup& group,
    const Config& config,
    std::optional<double> min_reward,
    CollectCounts& counts) {
  Json rows = Json::array(), prompt = prompt_of(group, config);
  for (const auto& rollout : group.rollouts) {
    if (!rollout.missing.empty()) {
      ++counts.missing;
    } else if (!rollout.reward) {
      ++counts.unscored;
    } else if (is_low(rollout, min_reward)) {
      ++counts.low;
    } else {
      rows.push_back(as_row(group, rollout, prompt));
    }
  }
  return rows;
}

Json pair_rows(
    const RolloutGroup& group,
    std::span<const Comparison> comparisons,
    const Config& config,
    std::optional<double> min_reward,
    CollectCounts& counts) {
  auto rollouts = present(group);
  counts.missing += static_cast<int64_t>(group.rollouts.size() - rollouts.size());
  auto pairs =
      comparisons.empty() ? extremes(rollouts) : decided(rollouts, comparisons);
  if (pairs.empty()) ++counts.undecided;
  Json rows = Json::array(), prompt = prompt_of(group, config);
  for (const auto& [better, worse] : pairs) {
    if (is_low(*better, min_reward)) {
      ++counts.low;
      continue;
    }
    rows.push_back(
        {{"prompt", prompt},
         {"chosen", Json::array({message("assistant", better->completion.text)})},
         {"rejected", Json::array({message("assistant", worse->completion.text)})},
         {"chosen_reward", reward_of(*better)},
         {"rejected_reward", reward_of(*worse)},
         {"task", group.task.id}});
  }
  return rows;
}

std::vector<Sample> samples_of(const RolloutGroup& group) {
  std::vector<Sample> samples;
  for (const auto* rollout : present(group)) {
    samples.push_back({&group.task, &rollout->completion});
  }
  return samples;
}

}  // namespace pupil
