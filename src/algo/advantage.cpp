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

}  // namespace

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

}  // namespace pupil
