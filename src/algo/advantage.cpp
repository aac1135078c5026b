#include "algo/advantage.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace pupil {

namespace {

constexpr double kStdFloor = 1e-4;  // TRL's

using Advantages = std::vector<std::vector<double>>;

// Centred, divided and 0 where unscored.
std::vector<double> centred(const GroupRewards& rewards, double mean, double divisor) {
  std::vector<double> values(rewards.size(), 0.0);
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) values[i] = (*rewards[i] - mean) / divisor;
  }
  return values;
}

std::vector<double> group_advantages(const GroupRewards& rewards, double divisor) {
  // The mean of equal numbers may round away from them, so equality is tested itself.
  if (!has_spread(rewards)) return std::vector<double>(rewards.size(), 0.0);
  return centred(rewards, spread_of(rewards).mean, divisor);
}

GroupRewards flatten(std::span<const GroupRewards> groups) {
  GroupRewards all;
  for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
  return all;
}

// One function's rewards of a group.
GroupRewards column(const GroupScores& group, size_t k) {
  GroupRewards rewards;
  for (const auto& row : group) rewards.push_back(row[k]);
  return rewards;
}

// Sums of the functions' normalised rewards; none where no function scored.
GroupRewards normalised_sums(
    const GroupScores& group, std::span<const double> weights) {
  std::vector<double> sums(group.size(), 0.0);
  for (size_t k = 0; k < weights.size(); ++k) {
    auto rewards = column(group, k);
    auto normal = group_advantages(rewards, spread_of(rewards).std + kStdFloor);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += weights[k] * normal[i];
  }
  GroupRewards scored;
  for (size_t i = 0; i < sums.size(); ++i) {
    scored.push_back(is_scored(group[i]) ? std::optional(sums[i]) : std::nullopt);
  }
  return scored;
}

}  // namespace

Aggregation aggregation_of(std::string_view name) {
  if (name == "sum_then_normalize") return Aggregation::sum_then_normalize;
  if (name == "normalize_then_sum") return Aggregation::normalize_then_sum;
  throw std::invalid_argument(
      "[advantage] aggregation: expected sum_then_normalize or normalize_then_sum, "
      "got " +
      std::string(name));
}

ScaleRewards scale_rewards_of(std::string_view name) {
  if (name == "group") return ScaleRewards::group;
  if (name == "batch") return ScaleRewards::batch;
  if (name == "none") return ScaleRewards::none;
  if (name == "whiten") return ScaleRewards::whiten;
  throw std::invalid_argument(
      "[advantage] scale_rewards: expected group, batch, none or whiten, got " +
      std::string(name));
}

bool has_spread(std::span<const std::optional<double>> rewards) {
  const std::optional<double>* first = nullptr;
  for (const auto& reward : rewards) {
    if (!reward) continue;
    if (!first) first = &reward;
    if (*reward != **first) return true;
  }
  return false;
}

Spread spread_of(std::span<const std::optional<double>> rewards) {
  Spread spread;
  for (const auto& reward : rewards) {
    if (reward) spread.mean += *reward, ++spread.count;
  }
  if (spread.count == 0) return spread;
  spread.mean /= spread.count;
  double squares = 0;
  for (const auto& reward : rewards) {
    if (reward) squares += (*reward - spread.mean) * (*reward - spread.mean);
  }
  if (spread.count > 1) spread.std = std::sqrt(squares / (spread.count - 1));
  return spread;
}

Advantages advantages_of(std::span<const GroupRewards> groups, ScaleRewards scale) {
  double batch_std = spread_of(flatten(groups)).std;
  Advantages advantages;
  for (const auto& group : groups) {
    double std = scale == ScaleRewards::batch ? batch_std : spread_of(group).std;
    bool divides = scale == ScaleRewards::group || scale == ScaleRewards::batch;
    advantages.push_back(group_advantages(group, divides ? std + kStdFloor : 1.0));
  }
  return advantages;
}

bool is_scored(const RewardRow& row) {
  return std::any_of(
      row.begin(), row.end(), [](const auto& r) { return r.has_value(); });
}

std::vector<GroupRewards> weighted_sums(
    std::span<const GroupScores> groups, std::span<const double> weights) {
  std::vector<GroupRewards> sums;
  for (const auto& group : groups) {
    auto& rewards = sums.emplace_back();
    for (const auto& row : group) {
      double sum = 0;
      for (size_t k = 0; k < weights.size(); ++k)
        sum += weights[k] * row[k].value_or(0);
      rewards.push_back(is_scored(row) ? std::optional(sum) : std::nullopt);
    }
  }
  return sums;
}

Advantages normalize_then_sum(
    std::span<const GroupScores> groups, std::span<const double> weights) {
  std::vector<GroupRewards> sums;
  for (const auto& group : groups) sums.push_back(normalised_sums(group, weights));
  auto all = flatten(sums);
  auto spread = spread_of(all);
  Advantages advantages;
  for (const auto& group : sums) {  // sums of a group are centred: equal ones are 0
    advantages.push_back(
        has_spread(group) ? centred(group, spread.mean, spread.std + kStdFloor)
                          : std::vector<double>(group.size(), 0.0));
  }
  return advantages;
}

}  // namespace pupil
