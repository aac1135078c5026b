#include "algo/policy_loss.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>

#include "algo/surrogates.h"
#include "algo/token_choice.h"

namespace pupil {

namespace {

void expect_shape(const mx::array& a, const mx::Shape& shape, const char* name) {
  if (a.shape() == shape) return;
  std::ostringstream text;
  text << "[policy_loss] " << name << ": expected shape " << shape << ", got "
       << a.shape();
  throw std::invalid_argument(text.str());
}

void expect_present(
    bool needed,
    const std::optional<mx::array>& a,
    const char* setting,
    const char* name) {
  if (!needed || a) return;
  throw std::invalid_argument(
      std::string("[policy_loss] ") + setting + " is set but " + name + " are missing");
}

void check(const PolicyLossInputs& in, const PolicyLossConfig& config) {
  if (in.logprobs.ndim() != 2) {
    throw std::invalid_argument("[policy_loss] logprobs: expected shape [N, T]");
  }
  const auto& shape = in.logprobs.shape();
  auto expect_same = [&](const std::optional<mx::array>& a, const char* name) {
    if (a) expect_shape(*a, shape, name);
  };
  expect_shape(in.old_logprobs, shape, "old_logprobs");
  expect_shape(in.mask, shape, "mask");
  expect_shape(in.advantages, {shape[0]}, "advantages");
  expect_same(in.ref_logprobs, "ref_logprobs");
  expect_same(in.entropies, "entropies");
  expect_same(in.sampler_logprobs, "sampler_logprobs");
  expect_same(in.selected, "selected");
  expect_present(config.beta != 0, in.ref_logprobs, "beta", "ref_logprobs");
  expect_present(
      config.top_entropy_quantile < 1,
      in.entropies,
      "top_entropy_quantile",
      "entropies");
  expect_present(config.entropy_coef != 0, in.entropies, "entropy_coef", "entropies");
  bool selects =
      config.surrogate == Surrogate::clip_cov || config.surrogate == Surrogate::kl_cov;
  expect_present(selects, in.selected, "loss_type *_cov", "selected tokens");
}

mx::array policy_ratio(
    const mx::array& log_ratio, const mx::array& mask, Ratio over) {  // [N, T]
  if (over == Ratio::token) return mx::exp(log_ratio);
  auto of_sequence = mx::sum(log_ratio, 1, true);
  if (over == Ratio::sequence) of_sequence = of_sequence / token_counts(mask);
  return mx::broadcast_to(mx::exp(of_sequence), log_ratio.shape());
}

mx::array kl_to_reference(
    const PolicyLossInputs& in, const mx::array& ratio, const PolicyLossConfig& c) {
  auto d = masked(*in.ref_logprobs - in.logprobs, in.mask);
  auto kl = kl_estimate(d, c.kl_estimator);
  return c.use_bias_correction_kl ? kl * ratio : kl;
}

// 1 on the tokens of the entropy quantile; none where all are kept.
std::optional<mx::array> entropy_keep(
    const PolicyLossInputs& in, const PolicyLossConfig& c, const StepTotals& totals) {
  if (c.top_entropy_quantile >= 1) return std::nullopt;
  auto entropies = mx::stop_gradient(*in.entropies);
  float threshold =
      totals.entropy_threshold
          ? *totals.entropy_threshold
          : entropy_threshold_of(entropies, in.mask, c.top_entropy_quantile);
  auto high = mx::greater_equal(masked(entropies, in.mask), mx::array(threshold));
  return mx::astype(high, mx::float32) * in.mask;
}

mx::array drop(
    mx::array per_token,
    const PolicyLossInputs& in,
    const SurrogateInputs& parts,
    const PolicyLossConfig& c) {
  if (c.off_policy_mask_threshold) {
    const auto& sampler = in.sampler_logprobs ? *in.sampler_logprobs : in.old_logprobs;
    per_token = per_token * off_policy_keep(
                                in.logprobs,
                                sampler,
                                parts.advantages,
                                in.mask,
                                *c.off_policy_mask_threshold);
  }
  // gmpo has left the others out of its mean already.
  if (parts.keep && c.surrogate != Surrogate::gmpo) per_token = per_token * *parts.keep;
  if (in.importance && c.surrogate != Surrogate::vespo) {
    per_token = per_token * *in.importance;
  }
  return per_token;
}

mx::array over(const mx::array& sum, double count) {
  return sum * mx::array(static_cast<float>(1.0 / std::max(count, 1.0)));
}

mx::array aggregate(
    const mx::array& per_token,
    const mx::array& mask,
    Aggregate how,
    const StepTotals& totals) {
  auto per_sequence = mx::sum(masked(per_token, mask), 1, true);  // [N, 1]
  auto sum = mx::sum(per_sequence);
  switch (how) {
    case Aggregate::sequence_mean:
      return over(mx::sum(per_sequence / token_counts(mask)), totals.num_sequences);
    case Aggregate::token_mean:
      return over(sum, totals.num_tokens);
    case Aggregate::constant:
      return over(sum, totals.num_sequences * totals.max_completion_length);
    case Aggregate::sequence_sum:
      return over(sum, totals.num_sequences);
  }
  throw std::logic_error("[policy_loss] unknown aggregate");
}

mx::array entropy_bonus(
    const PolicyLossInputs& in,
    const std::optional<mx::array>& keep,
    const PolicyLossConfig& c,
    const StepTotals& totals) {
  auto sum = mx::sum(masked(*in.entropies, keep ? *keep : in.mask));
  double count = totals.num_entropy_tokens.value_or(totals.num_tokens);
  return mx::array(static_cast<float>(c.entropy_coef)) * over(sum, count);
}

}  // namespace

mx::array token_counts(const mx::array& mask) {
  return mx::maximum(mx::sum(mask, 1, true), mx::array(1.0f));
}

mx::array masked(const mx::array& x, const mx::array& mask) {
  return mx::where(mx::greater(mask, mx::array(0.0f)), x, mx::array(0.0f));
}

const LossType& loss_type_of(std::string_view name) {
  for (const auto& type : kLossTypes) {
    if (type.name == name) return type;
  }
  throw std::invalid_argument(
      "[policy_loss] loss_type: expected " + std::string(kLossTypeNames) + ", got " +
      std::string(name));
}

Ratio ratio_of(std::string_view level) {
  if (level == "token") return Ratio::token;
  if (level == "sequence") return Ratio::sequence;
  if (level == "sequence_sum") return Ratio::sequence_sum;
  throw std::invalid_argument(
      "[policy_loss] importance_sampling_level: expected token, sequence or "
      "sequence_sum, got " +
      std::string(level));
}

PolicyLoss policy_loss(
    const PolicyLossInputs& in,
    const PolicyLossConfig& config,
    const StepTotals& totals) {
  check(in, config);
  auto log_ratio = masked(in.logprobs - in.old_logprobs, in.mask);
  auto ratio = policy_ratio(log_ratio, in.mask, config.ratio);
  SurrogateInputs parts{
      masked(in.logprobs, in.mask),
      log_ratio,
      ratio,
      mx::expand_dims(in.advantages, 1),
      in.mask,
      entropy_keep(in, config, totals),
      in.importance,
      in.selected};
  auto per_token = drop(surrogate(parts, config), in, parts, config);
  std::optional<mx::array> kl, phi;
  if (config.beta != 0) {
    kl = kl_to_reference(in, ratio, config);
    per_token = per_token + mx::array(static_cast<float>(config.beta)) * *kl;
    kl = mx::stop_gradient(*kl);
  }
  auto loss = aggregate(per_token, in.mask, config.aggregate, totals);
  if (config.entropy_coef != 0) {
    loss = loss - entropy_bonus(in, parts.keep, config, totals);
  }
  if (config.surrogate == Surrogate::vespo) phi = vespo_phi(parts, config);
  bool caps =
      config.surrogate == Surrogate::clipped || config.surrogate == Surrogate::clip_cov;
  if (caps) ratio = capped_ratio(ratio, config);
  return {loss, mx::stop_gradient(ratio), kl, phi};
}

}  // namespace pupil
