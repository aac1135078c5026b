#include <cmath>
#include <stdexcept>

#include "algo/advantage.h"
#include "app/loss_request.h"
#include "app/trl_request.h"

namespace pupil {

namespace {

using nlohmann::json;
using Json = nlohmann::ordered_json;

std::optional<double> reward_of(const json& value) {
  if (value.is_null()) return std::nullopt;
  if (value.is_number()) return value.get<double>();
  reject_field("rewards", "numbers, null where unscored", value);
}

RewardRow row_of(const json& rewards) {
  if (!rewards.is_array()) return {reward_of(rewards)};
  RewardRow row;
  for (const auto& value : rewards) row.push_back(reward_of(value));
  return row;
}

GroupScores group_of(const json& rewards) {
  if (!rewards.is_array() || rewards.empty()) {
    reject_field("rewards", "groups of at least one completion", rewards);
  }
  GroupScores group;
  for (const auto& entry : rewards) {
    if (entry.is_array() != rewards.front().is_array()) {
      reject_field("rewards", "numbers or lists of them throughout", rewards);
    }
    group.push_back(row_of(entry));
  }
  return group;
}

void expect_size(const std::string& what, size_t expected, size_t got) {
  if (expected == got) return;
  throw std::invalid_argument(
      "rewards: expected " + std::to_string(expected) + " " + what + ", got " +
      std::to_string(got));
}

std::vector<GroupScores> groups_of(const TrlRequest& request) {
  const auto& rewards = request.at("rewards");
  if (!rewards.is_array() || rewards.empty()) {
    reject_field("rewards", "[groups][num_generations], at least one group", rewards);
  }
  std::vector<GroupScores> groups;
  for (const auto& group : rewards) groups.push_back(group_of(group));
  int width = static_cast<int>(groups.front().size());
  int generations = request.count("num_generations", width);
  size_t functions = groups.front().front().size();
  if (functions == 0) reject_field("rewards", "at least one function", rewards);
  for (const auto& group : groups) {
    expect_size("completions a group", generations, group.size());
    for (const auto& row : group) {
      expect_size("rewards a completion", functions, row.size());
    }
  }
  return groups;
}

std::vector<double> weights_of(const TrlRequest& request, size_t functions) {
  if (!request.has("reward_weights")) return std::vector<double>(functions, 1.0);
  const auto& list = request.at("reward_weights");
  std::vector<double> weights;
  for (const auto& weight : list.is_array() ? list : json::array()) {
    if (!weight.is_number()) reject_field("reward_weights", "numbers", weight);
    weights.push_back(weight.get<double>());
  }
  if (weights.size() != functions) {
    reject_field(
        "reward_weights", "a list of " + std::to_string(functions) + " numbers", list);
  }
  return weights;
}

ScaleRewards scale_of(const TrlRequest& request) {
  if (!request.has("scale_rewards")) return ScaleRewards::group;
  const auto& value = request.at("scale_rewards");
  if (value == true) return ScaleRewards::group;
  if (value == false) return ScaleRewards::none;
  bool known = value == "group" || value == "batch" || value == "none";
  if (!known) reject_field("scale_rewards", "group, batch, none, true or false", value);
  return scale_rewards_of(value.get<std::string>());
}

std::vector<std::vector<double>> advantages_of_request(
    const TrlRequest& request, const std::vector<GroupScores>& groups) {
  auto weights = weights_of(request, groups.front().front().size());
  auto how = request.text("multi_objective_aggregation", "sum_then_normalize");
  if (how == "normalize_then_sum") return normalize_then_sum(groups, weights);
  if (how == "sum_then_normalize") {
    return advantages_of(weighted_sums(groups, weights), scale_of(request));
  }
  reject_field(
      "multi_objective_aggregation", "sum_then_normalize or normalize_then_sum", how);
}

}  // namespace

Json answer_advantages(const std::string& line) {
  TrlRequest request(line, {"rewards"});
  auto groups = groups_of(request);
  scale_of(request);
  auto advantages = advantages_of_request(request, groups);
  Json rows = Json::array();
  for (size_t g = 0; g < groups.size(); ++g) {
    Json row = Json::array();
    for (size_t i = 0; i < groups[g].size(); ++i) {
      bool scored = is_scored(groups[g][i]);
      if (scored && !std::isfinite(advantages[g][i])) {
        throw std::invalid_argument("rewards: the advantages are not finite");
      }
      row.push_back(scored ? Json(advantages[g][i]) : Json(nullptr));
    }
    rows.push_back(std::move(row));
  }
  return {{"advantages", rows}};
}

}  // namespace pupil
