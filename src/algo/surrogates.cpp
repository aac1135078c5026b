#include "algo/surrogates.h"

#include <cmath>
#include <stdexcept>

namespace pupil {

namespace {

// Limits are computed in double and rounded once, as PyTorch does with Python's
// numbers.
mx::array number(double value) {
  return mx::array(static_cast<float>(value));
}

// Bounds with PyTorch's gradient: 1 on the bound itself, where MLX's clip gives none.
mx::array at_most(const mx::array& x, double bound) {
  return mx::where(mx::greater(x, number(bound)), number(bound), x);
}
mx::array at_least(const mx::array& x, double bound) {
  return mx::where(mx::less(x, number(bound)), number(bound), x);
}
mx::array lesser(const mx::array& a, const mx::array& b) {
  return mx::where(mx::less_equal(a, b), a, b);
}

mx::array by_sign(const mx::array& is_positive, double positive, double negative) {
  return mx::where(is_positive, number(positive), number(negative));
}

mx::array clipped(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto bounded = at_least(at_most(in.ratio, 1 + c.epsilon_high), 1 - c.epsilon);
  auto free = capped_ratio(in.ratio, c);
  return -lesser(free * in.advantages, bounded * in.advantages);
}

mx::array cispo(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto weight = mx::stop_gradient(at_most(in.ratio, c.epsilon_high));
  return -(weight * in.advantages * in.logprobs);
}

mx::array sapo(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto positive = mx::greater(in.advantages, mx::array(0.0f));
  auto t = by_sign(positive, c.sapo_temperature_pos, c.sapo_temperature_neg);
  auto gate = mx::sigmoid(t * (in.ratio - mx::array(1.0f))) * mx::array(4.0f) / t;
  return -(gate * in.advantages);
}

mx::array vespo(const SurrogateInputs& in, const PolicyLossConfig& c) {
  return -(vespo_phi(in, c) * in.advantages * in.logprobs);
}

mx::array gmpo(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto bounded = at_least(at_most(in.log_ratio, c.epsilon_high), -c.epsilon);
  auto positive = mx::greater(in.advantages, mx::array(0.0f));
  auto low = mx::less_equal(in.log_ratio, bounded);
  auto chosen = mx::where(mx::equal(low, positive), in.log_ratio, bounded);
  auto mask = in.keep ? in.mask * *in.keep : in.mask;
  auto mean = mx::sum(masked(chosen, mask), 1, true) / token_counts(mask);
  return mx::broadcast_to(-(mx::exp(mean) * in.advantages), in.mask.shape());
}

mx::array clip_cov(const SurrogateInputs& in, const PolicyLossConfig& c) {
  return clipped(in, c) * (mx::array(1.0f) - in.selected.value());
}

mx::array kl_cov(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto penalty = number(c.kl_cov_coef) * mx::abs(in.log_ratio) * in.selected.value();
  return penalty - in.ratio * in.advantages;
}

mx::array likelihood(const SurrogateInputs& in) {
  return -(in.advantages * in.logprobs);
}

// Sum of the tokens' log ratios, and of old policy to sampler where that is known: of
// the tokens, or one of the sequence, which counts once.
mx::array sequence_log_ratio(const SurrogateInputs& in) {  // [N, 1]
  auto per_token = mx::clip(in.log_ratio, number(-20), number(20));
  auto sum = mx::sum(masked(per_token, in.mask), 1, true);
  if (!in.importance) return sum;
  auto log_weight =
      mx::clip(mx::log(*in.importance), number(std::log(1e-8)), number(20));
  if (in.importance->shape() != in.mask.shape()) return sum + log_weight;
  return sum + mx::sum(masked(log_weight, in.mask), 1, true);
}

}  // namespace

mx::array capped_ratio(const mx::array& ratio, const PolicyLossConfig& config) {
  return config.delta ? at_most(ratio, *config.delta) : ratio;
}

mx::array vespo_phi(const SurrogateInputs& in, const PolicyLossConfig& c) {
  auto log_w = mx::clip(sequence_log_ratio(in), number(std::log(1e-8)), number(20));
  auto positive = mx::greater_equal(in.advantages, mx::array(0.0f));
  auto k = by_sign(positive, c.vespo_k_pos, c.vespo_k_neg);
  auto lambda = mx::maximum(
      by_sign(positive, c.vespo_lambda_pos, c.vespo_lambda_neg), number(1e-4));
  auto phi = mx::exp(lambda + k * log_w - lambda * mx::exp(log_w));
  return mx::stop_gradient(mx::where(mx::isfinite(phi), phi, mx::array(0.0f)));
}

mx::array surrogate(const SurrogateInputs& in, const PolicyLossConfig& config) {
  switch (config.surrogate) {
    case Surrogate::clipped:
      return clipped(in, config);
    case Surrogate::cispo:
      return cispo(in, config);
    case Surrogate::sapo:
      return sapo(in, config);
    case Surrogate::vespo:
      return vespo(in, config);
    case Surrogate::gmpo:
      return gmpo(in, config);
    case Surrogate::clip_cov:
      return clip_cov(in, config);
    case Surrogate::kl_cov:
      return kl_cov(in, config);
    case Surrogate::likelihood:
      return likelihood(in);
  }
  throw std::logic_error("[policy_loss] unknown surrogate");
}

}  // namespace pupil
