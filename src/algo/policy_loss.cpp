#include "algo/policy_loss.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>

namespace pupil {

namespace {

void expect_shape(const mx::array& a, const mx::Shape& shape, const char* name) {
  if (a.shape() == shape) return;
  std::ostringstream text;
  text << "[policy_loss] " << name << ": expected shape " << shape << ", got "
       << a.shape();
  throw std::invalid_argument(text.str());
}

void check(const PolicyLossInputs& in, const PolicyLossConfig& config) {
  if (in.logprobs.ndim() != 2) {
    throw std::invalid_argument("[policy_loss] logprobs: expected shape [N, T]");
  }
  const auto& shape = in.logprobs.shape();
  expect_shape(in.old_logprobs, shape, "old_logprobs");
  expect_shape(in.mask, shape, "mask");
  expect_shape(in.advantages, {shape[0]}, "advantages");
  if (in.ref_logprobs) expect_shape(*in.ref_logprobs, shape, "ref_logprobs");
  if (config.beta != 0 && !in.ref_logprobs) {
    throw std::invalid_argument(
        "[policy_loss] beta is set but ref_logprobs are missing");
  }
}

// Tokens of the loss in each sequence, at least 1. [N, T] -> [N, 1]
mx::array token_counts(const mx::array& mask) {
  return mx::maximum(mx::sum(mask, 1, true), mx::array(1.0f));
}

// Padding may hold anything, infinities included: select, never multiply.
mx::array masked(const mx::array& x, const mx::array& mask) {
  return mx::where(mx::greater(mask, mx::array(0.0f)), x, mx::array(0.0f));
}

mx::array policy_ratio(const PolicyLossInputs& in, Ratio over) {  // [N, T]
  auto log_ratio = masked(in.logprobs - in.old_logprobs, in.mask);
  if (over == Ratio::sequence) {
    auto mean = mx::sum(log_ratio, 1, true) / token_counts(in.mask);
    log_ratio = mx::broadcast_to(mean, log_ratio.shape());
  }
  return mx::exp(log_ratio);
}

mx::array surrogate(
    const mx::array& ratio, const mx::array& advantages, const PolicyLossConfig& c) {
  auto bounded =
      mx::clip(ratio, mx::array(1.0f - c.epsilon), mx::array(1.0f + c.epsilon_high));
  auto free = c.delta ? mx::minimum(ratio, mx::array(*c.delta)) : ratio;
  auto advantage = mx::expand_dims(advantages, 1);  // [N, 1]
  return mx::minimum(free * advantage, bounded * advantage);
}

mx::array kl_to_reference(
    const PolicyLossInputs& in, const mx::array& ratio, bool correct) {
  auto d = masked(*in.ref_logprobs - in.logprobs, in.mask);
  auto k3 = mx::exp(d) - d - 1.0f;
  return correct ? k3 * ratio : k3;
}

mx::array aggregate(
    const mx::array& per_token,
    const mx::array& mask,
    Aggregate how,
    const StepTotals& totals) {
  auto per_sequence = mx::sum(masked(per_token, mask), 1, true);  // [N, 1]
  auto over = [](const mx::array& sum, double count) {
    return sum * static_cast<float>(1.0 / std::max(count, 1.0));
  };
  switch (how) {
    case Aggregate::sequence_mean:
      return over(mx::sum(per_sequence / token_counts(mask)), totals.num_sequences);
    case Aggregate::token_mean:
      return over(mx::sum(per_sequence), totals.num_tokens);
    case Aggregate::constant:
      return over(
          mx::sum(per_sequence), totals.num_sequences * totals.max_completion_length);
  }
  throw std::logic_error("[policy_loss] unknown aggregate");
}

}  // namespace

Aggregate aggregate_of(std::string_view loss_type) {
  if (loss_type == "grpo") return Aggregate::sequence_mean;
  if (loss_type == "dapo" || loss_type == "bnpo") return Aggregate::token_mean;
  if (loss_type == "dr_grpo") return Aggregate::constant;
  throw std::invalid_argument(
      "[policy_loss] loss_type: expected grpo, bnpo, dapo or dr_grpo, got " +
      std::string(loss_type));
}

Ratio ratio_of(std::string_view level) {
  if (level == "token") return Ratio::token;
  if (level == "sequence") return Ratio::sequence;
  throw std::invalid_argument(
      "[policy_loss] importance_sampling_level: expected token or sequence, got " +
      std::string(level));
}

PolicyLoss policy_loss(
    const PolicyLossInputs& in,
    const PolicyLossConfig& config,
    const StepTotals& totals) {
  check(in, config);
  auto ratio = policy_ratio(in, config.ratio);
  auto per_token = -surrogate(ratio, in.advantages, config);
  std::optional<mx::array> kl;
  if (config.beta != 0) {
    kl = kl_to_reference(in, ratio, config.use_bias_correction_kl);
    per_token = per_token + config.beta * *kl;
    kl = mx::stop_gradient(*kl);
  }
  auto loss = aggregate(per_token, in.mask, config.aggregate, totals);
  return {loss, mx::stop_gradient(ratio), kl};
}

}  // namespace pupil
