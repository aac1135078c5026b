#include "algo/sampler_correction.h"

#include <stdexcept>
#include <string>

namespace pupil {

CorrectionMode sampler_correction_mode(std::string_view name) {
  if (name == "token_truncate") return CorrectionMode::token_truncate;
  if (name == "token_mask") return CorrectionMode::token_mask;
  if (name == "sequence_truncate") return CorrectionMode::sequence_truncate;
  if (name == "sequence_mask") return CorrectionMode::sequence_mask;
  throw std::invalid_argument(
      "[sampler_correction] vllm_importance_sampling_mode: expected token_truncate, "
      "token_mask, sequence_truncate or sequence_mask, got " +
      std::string(name));
}

mx::array sampler_importance(
    const mx::array& old_logprobs,
    const mx::array& sampler_logprobs,
    const mx::array& mask,
    const SamplerCorrection& correction) {
  auto mode = correction.mode;
  auto zero = mx::array(0.0f);
  auto difference = mx::stop_gradient(old_logprobs) - sampler_logprobs;
  auto known =
      mx::logical_and(mx::greater(mask, zero), mx::logical_not(mx::isnan(difference)));
  auto log_weight = mx::where(known, difference, zero);
  if (correction.by_sequence()) log_weight = mx::sum(log_weight, 1, true);
  bool truncates = mode == CorrectionMode::token_truncate ||
                   mode == CorrectionMode::sequence_truncate;
  auto weight = mx::exp(log_weight);
  if (correction.most) {
    auto most = mx::array(static_cast<float>(*correction.most));
    weight = mx::where(mx::greater(weight, most), truncates ? most : zero, weight);
  }
  if (correction.least) {
    auto least = mx::array(static_cast<float>(*correction.least));
    weight = mx::where(mx::less(weight, least), truncates ? least : zero, weight);
  }
  return weight;
}

}  // namespace pupil
