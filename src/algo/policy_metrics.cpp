#include "algo/policy_metrics.h"

#include <algorithm>
#include <cmath>

#include "ops/host_values.h"

namespace pupil {

namespace {

struct HostValues {
  std::vector<float> mask, ratio, entropy, kl, old, sampler, advantages, phi;
};

struct Bounds {
  float low, high;
};

// Rounded once, as the loss rounds them.
Bounds bounds_of(const PolicyLossConfig& c) {
  auto to_float = [](double x) { return static_cast<float>(x); };
  switch (c.surrogate) {
    case Surrogate::cispo:
      return {-INFINITY, to_float(c.epsilon_high)};
    case Surrogate::gmpo:
      return {to_float(std::exp(-c.epsilon)), to_float(std::exp(c.epsilon_high))};
    default:
      return {to_float(1 - c.epsilon), to_float(1 + c.epsilon_high)};
  }
}

bool one_ratio_a_sequence(const PolicyLossConfig& c) {
  return c.ratio != Ratio::token && c.surrogate != Surrogate::gmpo;
}

void add_token(PolicyMetrics& m, const HostValues& v, size_t i) {
  m.num_tokens += 1;
  m.entropy += v.entropy[i];
  if (!v.kl.empty()) m.kl += v.kl[i];
  if (std::isnan(v.sampler[i])) return;
  double difference = std::abs(double(v.old[i]) - v.sampler[i]);
  m.num_sampled += 1;
  m.logp_difference += difference;
  // A comparison with NaN is false: let a NaN through instead of losing it.
  if (!(difference <= m.logp_difference_max)) m.logp_difference_max = difference;
}

void add_ratios(
    PolicyMetrics& m,
    const HostValues& v,
    size_t row,
    size_t width,
    const PolicyLossConfig& c) {
  const auto [low_bound, high_bound] = bounds_of(c);
  double ratios = 0, low = 0, high = 0;
  for (size_t i = row * width; i < (row + 1) * width; ++i) {
    bool counts = one_ratio_a_sequence(c) ? i == row * width : v.mask[i] != 0;
    if (!counts) continue;
    ratios += 1;
    m.ratios.push_back(v.ratio[i]);
    low += v.ratio[i] < low_bound && v.advantages[row] < 0;
    high += v.ratio[i] > high_bound && v.advantages[row] > 0;
  }
  if (ratios == 0) return;
  m.num_ratios += ratios;
  m.clipped_low += low;
  m.clipped_high += high;
  m.low_min = std::min(m.low_min, low / ratios);
  m.high_max = std::max(m.high_max, high / ratios);
}

void add_sequence(
    PolicyMetrics& m,
    const HostValues& v,
    size_t row,
    size_t width,
    const PolicyLossConfig& c) {
  for (size_t i = row * width; i < (row + 1) * width; ++i) {
    if (v.mask[i] != 0) add_token(m, v, i);
  }
  m.num_sequences += 1;
  if (!v.phi.empty()) m.phi += v.phi[row];
  add_ratios(m, v, row, width, c);
}

}  // namespace

PolicyMetrics& PolicyMetrics::operator+=(const PolicyMetrics& other) {
  num_tokens += other.num_tokens;
  entropy += other.entropy;
  kl += other.kl;
  num_ratios += other.num_ratios;
  ratios.insert(ratios.end(), other.ratios.begin(), other.ratios.end());
  clipped_low += other.clipped_low;
  clipped_high += other.clipped_high;
  low_min = std::min(low_min, other.low_min);
  high_max = std::max(high_max, other.high_max);
  num_sequences += other.num_sequences;
  phi += other.phi;
  num_importance += other.num_importance;
  importance += other.importance;
  importance_min = std::min(importance_min, other.importance_min);
  importance_max = std::max(importance_max, other.importance_max);
  num_sampled += other.num_sampled;
  logp_difference += other.logp_difference;
  if (!(other.logp_difference_max <= logp_difference_max)) {
    logp_difference_max = other.logp_difference_max;
  }
  return *this;
}

PolicyMetrics measure(
    const PolicyLossInputs& in,
    const PolicyLoss& loss,
    const PolicyLossConfig& config,
    const mx::array& entropy,
    const mx::array& sampler_logprobs) {
  auto optional = [](const std::optional<mx::array>& a) {
    return a ? host_values(*a) : std::vector<float>();
  };
  HostValues values{
      host_values(in.mask),
      host_values(loss.ratio),
      host_values(entropy),
      optional(loss.kl),
      host_values(in.old_logprobs),
      host_values(sampler_logprobs),
      host_values(in.advantages),
      optional(loss.phi)};
  PolicyMetrics metrics;
  size_t rows = in.mask.shape(0), width = in.mask.shape(1);
  for (size_t row = 0; row < rows; ++row) {
    add_sequence(metrics, values, row, width, config);
  }
  return metrics;
}

void add_importance(
    PolicyMetrics& metrics,
    const mx::array& importance,
    const mx::array& mask,
    bool by_sequence) {
  auto weights = host_values(importance), inside = host_values(mask);
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!by_sequence && inside[i] == 0) continue;
    double weight = weights[i];
    metrics.num_importance += 1;
    metrics.importance += weight;
    metrics.importance_min = std::min(metrics.importance_min, weight);
    metrics.importance_max = std::max(metrics.importance_max, weight);
  }
}

std::vector<std::pair<std::string, double>> clip_metrics(
    const PolicyMetrics& m, const PolicyLossConfig& config) {
  auto finite = [](double x) { return std::isfinite(x) ? x : NAN; };
  switch (config.surrogate) {
    case Surrogate::cispo:
      return {{"cispo_clip_ratio", m.per_ratio(m.clipped_high)}};
    case Surrogate::vespo:
      return {
          {"vespo/phi_seq_mean", m.num_sequences > 0 ? m.phi / m.num_sequences : 0}};
    case Surrogate::clipped:
    case Surrogate::clip_cov:
    case Surrogate::gmpo:
      return {
          {"clip_ratio/low_mean", m.per_ratio(m.clipped_low)},
          {"clip_ratio/low_min", finite(m.low_min)},
          {"clip_ratio/high_mean", m.per_ratio(m.clipped_high)},
          {"clip_ratio/high_max", finite(m.high_max)},
          {"clip_ratio/region_mean", m.per_ratio(m.clipped_low + m.clipped_high)}};
    default:
      return {};
  }
}

}  // namespace pupil
