// Advantages by other baselines than the group's mean.

#include <cmath>
#include <stdexcept>

#include "algo/advantage.h"

namespace pupil {

namespace {

constexpr double kStdFloor = 1e-4;
constexpr double kVarianceFloor = 1e-8;  // of whitening, as verl's

using Advantages = std::vector<std::vector<double>>;

// The mean of the other scored rewards; the reward itself where there are none.
double mean_of_others(const Spread& spread, double reward) {
  if (spread.count < 2) return reward;
  return (spread.mean * spread.count - reward) / (spread.count - 1);
}

double length_weighted_mean(
    const GroupRewards& rewards, const std::vector<double>& lengths) {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) sum += lengths[i] * *rewards[i], weight += lengths[i];
  }
  return weight > 0 ? sum / weight : spread_of(rewards).mean;
}

std::vector<double> less_baseline(
    const AdvantageInputs& inputs,
    size_t g,
    Baseline baseline,
    RunningBaseline& running) {
  const auto& rewards = inputs.rewards[g];
  auto spread = spread_of(rewards);
  double shared = spread.mean;
  if (baseline == Baseline::none) shared = 0;
  if (baseline == Baseline::length_weighted) {
    shared = length_weighted_mean(rewards, inputs.lengths[g]);
  }
  if (baseline == Baseline::running) {
    shared = running.exchange(inputs.prompts[g], rewards).value_or(spread.mean);
  }
  bool of_group = baseline != Baseline::none && baseline != Baseline::running;
  std::vector<double> values(rewards.size(), 0.0);
  if (of_group && !has_spread(rewards)) return values;  // exact zeros
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!rewards[i]) continue;
    bool alone = baseline == Baseline::leave_one_out;
    values[i] = *rewards[i] - (alone ? mean_of_others(spread, *rewards[i]) : shared);
  }
  return values;
}

// 1 of equal rewards: what another baseline than the group's leaves of them is not 0,
// and over the floor alone it would be 10^4 times as much.
double divisor_of(const GroupRewards& rewards) {
  return has_spread(rewards) ? spread_of(rewards).std + kStdFloor : 1;
}

void divide(Advantages& advantages, const AdvantageInputs& inputs, ScaleRewards scale) {
  GroupRewards all;
  for (const auto& group : inputs.rewards) {
    all.insert(all.end(), group.begin(), group.end());
  }
  double batch = divisor_of(all);
  for (size_t g = 0; g < advantages.size(); ++g) {
    bool by_group = scale == ScaleRewards::group;
    double divisor = by_group ? divisor_of(inputs.rewards[g]) : batch;
    for (double& a : advantages[g]) a /= divisor;
  }
}

// Mean 0 and variance 1 over the tokens of all scored completions.
void whiten(Advantages& advantages, const AdvantageInputs& inputs) {
  auto sum_over = [&](auto&& f) {
    double sum = 0;
    for (size_t g = 0; g < advantages.size(); ++g) {
      for (size_t i = 0; i < advantages[g].size(); ++i) {
        if (inputs.rewards[g][i]) sum += inputs.lengths[g][i] * f(advantages[g][i]);
      }
    }
    return sum;
  };
  double tokens = sum_over([](double) { return 1.0; });
  if (tokens < 2) return;
  double mean = sum_over([](double a) { return a; }) / tokens;
  double squares = sum_over([&](double a) { return (a - mean) * (a - mean); });
  double scale = 1 / std::sqrt(squares / (tokens - 1) + kVarianceFloor);
  for (size_t g = 0; g < advantages.size(); ++g) {
    for (size_t i = 0; i < advantages[g].size(); ++i) {
      auto& a = advantages[g][i];
      if (inputs.rewards[g][i]) a = (a - mean) * scale;
    }
  }
}

}  // namespace

Baseline baseline_of(std::string_view name) {
  if (name == "group") return Baseline::group;
  if (name == "leave_one_out") return Baseline::leave_one_out;
  if (name == "length_weighted") return Baseline::length_weighted;
  if (name == "running") return Baseline::running;
  if (name == "none") return Baseline::none;
  throw std::invalid_argument(
      "[advantage] baseline: expected group, leave_one_out, length_weighted, running "
      "or "
      "none, got " +
      std::string(name));
}

std::optional<double> RunningBaseline::exchange(
    const std::string& prompt, std::span<const std::optional<double>> rewards) {
  auto& entry = entries[prompt];
  std::optional<double> before;
  if (entry.count > 0) before = entry.mean;
  for (const auto& reward : rewards) {
    if (reward) entry.mean += (*reward - entry.mean) / ++entry.count;
  }
  return before;
}

Advantages advantages_of(
    const AdvantageInputs& inputs,
    Baseline baseline,
    ScaleRewards scale,
    RunningBaseline& running) {
  if (baseline == Baseline::group && scale != ScaleRewards::whiten) {
    return advantages_of(inputs.rewards, scale);
  }
  Advantages advantages;
  for (size_t g = 0; g < inputs.rewards.size(); ++g) {
    advantages.push_back(less_baseline(inputs, g, baseline, running));
  }
  if (scale == ScaleRewards::whiten) whiten(advantages, inputs);
  bool divides = scale == ScaleRewards::group || scale == ScaleRewards::batch;
  if (divides) divide(advantages, inputs, scale);
  return advantages;
}

}  // namespace pupil
