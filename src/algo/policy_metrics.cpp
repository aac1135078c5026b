#include "algo/policy_metrics.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pupil {

namespace {

std::vector<float> to_host(const mx::array& a) {
  auto flat = mx::contiguous(mx::astype(a, mx::float32));
  flat.eval();
  return {flat.data<float>(), flat.data<float>() + flat.size()};
}

struct HostValues {
  std::vector<float> mask, ratio, entropy, kl, logprobs, sampler, advantages;
};

void add_token(PolicyMetrics& m, const HostValues& v, size_t i) {
  m.num_tokens += 1;
  m.entropy += v.entropy[i];
  if (!v.kl.empty()) m.kl += v.kl[i];
  if (std::isnan(v.sampler[i])) return;
  double difference = std::abs(double(v.logprobs[i]) - v.sampler[i]);
  m.num_sampled += 1;
  m.logp_difference += difference;
  // A comparison with NaN is false: let a NaN through instead of losing it.
  if (!(difference <= m.logp_difference_max)) m.logp_difference_max = difference;
}

void add_sequence(
    PolicyMetrics& m,
    const HostValues& v,
    size_t row,
    size_t width,
    const PolicyLossConfig& c) {
  double tokens = 0, low = 0, high = 0;
  for (size_t i = row * width; i < (row + 1) * width; ++i) {
    if (v.mask[i] == 0) continue;
    add_token(m, v, i);
    tokens += 1;
    low += v.ratio[i] < 1 - c.epsilon && v.advantages[row] < 0;
    high += v.ratio[i] > 1 + c.epsilon_high && v.advantages[row] > 0;
  }
  if (tokens == 0) return;
  m.clipped_low += low;
  m.clipped_high += high;
  m.low_min = std::min(m.low_min, low / tokens);
  m.high_max = std::max(m.high_max, high / tokens);
}

}  // namespace

PolicyMetrics& PolicyMetrics::operator+=(const PolicyMetrics& other) {
  num_tokens += other.num_tokens;
  entropy += other.entropy;
  kl += other.kl;
  clipped_low += other.clipped_low;
  clipped_high += other.clipped_high;
  low_min = std::min(low_min, other.low_min);
  high_max = std::max(high_max, other.high_max);
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
  HostValues values{
      to_host(in.mask),
      to_host(loss.ratio),
      to_host(entropy),
      loss.kl ? to_host(*loss.kl) : std::vector<float>(),
      to_host(in.logprobs),
      to_host(sampler_logprobs),
      to_host(in.advantages)};
  PolicyMetrics metrics;
  size_t rows = in.mask.shape(0), width = in.mask.shape(1);
  for (size_t row = 0; row < rows; ++row) {
    add_sequence(metrics, values, row, width, config);
  }
  return metrics;
}

}  // namespace pupil
