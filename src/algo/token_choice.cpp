#include "algo/token_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/random.h"
#include "ops/host_values.h"

namespace pupil {

namespace {

double mean_of(const std::vector<float>& values) {
  double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return sum / static_cast<double>(std::max<size_t>(values.size(), 1));
}

std::vector<double> covariances(
    const std::vector<float>& advantages, const std::vector<float>& logprobs) {
  double mean_advantage = mean_of(advantages), mean_logprob = mean_of(logprobs);
  std::vector<double> values;
  for (size_t i = 0; i < logprobs.size(); ++i) {
    values.push_back((advantages[i] - mean_advantage) * (logprobs[i] - mean_logprob));
  }
  return values;
}

// The `count` tokens with the highest score, if it is finite; of equals the earlier.
std::vector<float> highest(const std::vector<double>& scores, size_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return scores[a] > scores[b];
  });
  std::vector<float> chosen(scores.size(), 0.0f);
  for (size_t i = 0; i < std::min(count, order.size()); ++i) {
    if (std::isfinite(scores[order[i]])) chosen[order[i]] = 1.0f;
  }
  return chosen;
}

// Whether the bound of the ratio is what the loss takes.
bool is_clipped(float advantage, float log_ratio, const CovarianceChoice& choice) {
  double ratio = std::exp(log_ratio);
  return advantage > 0 ? ratio > 1 + choice.epsilon_high
                       : advantage < 0 && ratio < 1 - choice.epsilon;
}

size_t count_of(size_t tokens, double share) {
  return std::max<size_t>(static_cast<size_t>(static_cast<double>(tokens) * share), 1);
}

}  // namespace

std::optional<float> quantile(std::vector<float> values, double q) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  float rank = static_cast<float>(q) * static_cast<float>(values.size() - 1);
  float below = std::floor(rank), weight = rank - below;
  float a = values[static_cast<size_t>(below)];
  float b = values[static_cast<size_t>(std::ceil(rank))];
  return weight < 0.5f ? a + weight * (b - a) : b - (b - a) * (1.0f - weight);
}

float entropy_threshold_of(
    const mx::array& entropies, const mx::array& mask, double top_entropy_quantile) {
  auto values = host_values(entropies), weights = host_values(mask);
  std::vector<float> kept;
  for (size_t i = 0; i < values.size(); ++i) {
    if (weights[i] != 0) kept.push_back(values[i]);
  }
  auto threshold = quantile(std::move(kept), 1 - top_entropy_quantile);
  return threshold.value_or(std::numeric_limits<float>::infinity());
}

mx::array off_policy_keep(
    const mx::array& logprobs,
    const mx::array& sampler_logprobs,
    const mx::array& advantages,
    const mx::array& mask,
    double threshold) {
  auto zero = mx::array(0.0f);
  auto distance = sampler_logprobs - mx::stop_gradient(logprobs);
  auto known =
      mx::logical_and(mx::greater(mask, zero), mx::logical_not(mx::isnan(distance)));
  auto sum = mx::sum(mx::where(known, distance, zero), 1, true);
  auto mean = sum / mx::maximum(mx::sum(mask, 1, true), mx::array(1.0f));
  auto near = mx::less_equal(mean, mx::array(static_cast<float>(threshold)));
  auto keep = mx::logical_or(mx::greater_equal(advantages, zero), near);
  return mx::stop_gradient(mx::astype(keep, mx::float32));
}

std::vector<float> choose_kl_cov(
    const std::vector<float>& advantages,
    const std::vector<float>& logprobs,
    const CovarianceChoice& choice) {
  return highest(
      covariances(advantages, logprobs), count_of(logprobs.size(), choice.share));
}

std::vector<float> choose_clip_cov(
    const std::vector<float>& advantages,
    const std::vector<float>& logprobs,
    const std::vector<float>& log_ratios,
    const CovarianceChoice& choice,
    uint64_t seed) {
  auto scores = covariances(advantages, logprobs);
  for (size_t i = 0; i < scores.size(); ++i) {
    bool between = scores[i] > choice.low && scores[i] < choice.high;
    bool free = between && !is_clipped(advantages[i], log_ratios.at(i), choice);
    scores[i] = free ? keyed_uniform({seed, i}) : -INFINITY;
  }
  return highest(scores, count_of(logprobs.size(), choice.share));
}

}  // namespace pupil
