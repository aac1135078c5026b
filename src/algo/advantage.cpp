#include "algo/advantage.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace pupil {

namespace {

constexpr double kStdFloor = 1e-4;  // TRL's

std::vector<double> group_advantages(const GroupRewards& rewards, double scale) {
  std::vector<double> advantages(rewards.size(), 0.0);
  // The mean of equal numbers may round away from them, so equality is tested itself.
  if (!has_spread(rewards)) return advantages;
  double mean = spread_of(rewards).mean;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) advantages[i] = (*rewards[i] - mean) / scale;
  }
  return advantages;
}

GroupRewards flatten(std::span<const GroupRewards> groups) {
  GroupRewards all;
  for (const auto& group : groups) all.insert(all.end(), group.begin(), group.end());
  return all;
}

// The group's scores by one function, of the rollouts that count.
GroupRewards counting_scores(const GroupRewards& scores, const GroupRewards& rewards) {
  GroupRewards counting(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (rewards[i]) counting[i] = scores[i];
  }
  return counting;
}

// [rollouts] the weighted sum of the normalised scores; none where there is no reward.
GroupRewards normalized_sum(
    const GroupScores& scores,
    const GroupRewards& rewards,
    std::span<const double> weights) {
  GroupRewards sums(rewards.size());
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) sums[i] = 0.0;
  }
  for (size_t k = 0; k < weights.size(); ++k) {
    if (weights[k] == 0) continue;
    auto counting = counting_scores(scores[k], rewards);
    auto normal = group_advantages(counting, spread_of(counting).std + kStdFloor);
    for (size_t i = 0; i < sums.size(); ++i) {
      if (sums[i]) *sums[i] += weights[k] * normal[i];
    }
  }
  return sums;
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
  throw std::invalid_argument(
      "[advantage] scale_rewards: expected group, batch or none, got " +
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

std::vector<std::vector<double>> advantages_of(
    std::span<const GroupRewards> groups, ScaleRewards scale) {
  double batch_std = spread_of(flatten(groups)).std;
  std::vector<std::vector<double>> advantages;
  for (const auto& group : groups) {
    double std = scale == ScaleRewards::group ? spread_of(group).std : batch_std;
    double divisor = scale == ScaleRewards::none ? 1.0 : std + kStdFloor;
    advantages.push_back(group_advantages(group, divisor));
  }
  return advantages;
}

std::vector<std::vector<double>> advantages_of_scores(
    std::span<const GroupScores> groups,
    std::span<const GroupRewards> rewards,
    std::span<const double> weights) {
  std::vector<GroupRewards> sums;
  for (size_t g = 0; g < groups.size(); ++g) {
    sums.push_back(normalized_sum(groups[g], rewards[g], weights));
  }
  const double divisor = spread_of(flatten(sums)).std + kStdFloor;
  std::vector<std::vector<double>> advantages;
  for (const auto& group : sums) {
    auto& row = advantages.emplace_back();
    for (const auto& sum : group) row.push_back(sum.value_or(0.0) / divisor);
  }
  return advantages;
}

}  // namespace pupil
