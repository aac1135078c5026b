#include "app/trl_settings.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "algo/token_choice.h"

namespace pupil {

namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// A name that is not known is refused with its field.
template <class F>
auto named(
    const TrlRequest& request, const char* key, const char* otherwise, F&& find) {
  auto name = request.text(key, otherwise);
  try {
    return find(name);
  } catch (const std::invalid_argument& error) {
    std::string text = error.what();
    throw std::invalid_argument(text.substr(text.find("] ") + 2));
  }
}

// TRL's: how many microbatches one set of samples is split into.
int steps_per_generation(const TrlRequest& request, int accumulation) {
  bool by_batch = request.has("generation_batch_size");
  if (by_batch && request.has("steps_per_generation")) {
    throw std::invalid_argument(
        "steps_per_generation: expected it or generation_batch_size, got both");
  }
  if (!by_batch) return request.count("steps_per_generation", accumulation);
  int batch = request.count("per_device_train_batch_size", 8);
  int total = request.count("generation_batch_size", batch);
  if (total % batch != 0) {
    reject_field(
        "generation_batch_size",
        "a multiple of per_device_train_batch_size, " + std::to_string(batch),
        total);
  }
  return total / batch;
}

// Means over tokens divide by num_items_in_batch, which already counts every
// microbatch, but for bnpo; the others by their own microbatch and the accumulation
// steps.
bool divides_by_items(const TrlRequest& request) {
  auto name = request.text("loss_type", "dapo");
  return name != "bnpo" && loss_type_of(name).aggregate == Aggregate::token_mean;
}

// Tokens of the mask and the entropy quantile. [B, T]
mx::array kept_tokens(const PolicyLossInputs& in, const StepTotals& totals) {
  if (!totals.entropy_threshold) return in.mask;
  auto high = mx::greater_equal(
      masked(*in.entropies, in.mask), mx::array(*totals.entropy_threshold));
  return in.mask * mx::astype(high, mx::float32);
}

}  // namespace

EntropyControl entropy_control_of(const TrlRequest& request) {
  EntropyControl control;
  control.coef = request.number("entropy_coef", 0);
  control.adaptive = request.flag("use_adaptive_entropy", false);
  control.coef_min = request.number("entropy_coef_min", 0);
  control.coef_max = request.number("entropy_coef_max", 1);
  control.delta = request.number("entropy_coef_delta", 0.005);
  control.target = request.number("entropy_target", 0.2);
  return control;
}

PolicyLossConfig policy_loss_config_of(const TrlRequest& request) {
  auto type = named(request, "loss_type", "dapo", loss_type_of);
  PolicyLossConfig c;
  c.ratio = named(request, "importance_sampling_level", "token", ratio_of);
  c.surrogate = type.surrogate;
  c.aggregate = type.aggregate;
  c.epsilon = request.number("epsilon", 0.2);
  c.epsilon_high = request.number("epsilon_high", c.epsilon);
  c.delta = request.number("delta");
  c.beta = request.number("beta", 0);
  c.use_bias_correction_kl = request.flag("use_bias_correction_kl", true);
  c.top_entropy_quantile = request.number_within("top_entropy_quantile", 1, 0, 1);
  c.off_policy_mask_threshold = request.number("off_policy_mask_threshold");
  c.sapo_temperature_pos = request.number("sapo_temperature_pos", 1.0);
  c.sapo_temperature_neg = request.number("sapo_temperature_neg", 1.05);
  c.vespo_k_pos = request.number("vespo_k_pos", 2);
  c.vespo_lambda_pos = request.number("vespo_lambda_pos", 3);
  c.vespo_k_neg = request.number("vespo_k_neg", 3);
  c.vespo_lambda_neg = request.number("vespo_lambda_neg", 2);
  c.kl_cov_coef = request.number_within("kl_cov_coef", 1, 0, kUnbounded);
  c.entropy_coef = entropy_control_of(request).applied();
  return c;
}

std::optional<SamplerCorrection> sampler_correction_of(const TrlRequest& request) {
  bool corrects = request.flag("use_vllm", false) &&
                  request.flag("vllm_importance_sampling_correction", true);
  if (!corrects) return std::nullopt;
  auto correction = named(
      request,
      "vllm_importance_sampling_mode",
      "sequence_mask",
      sampler_correction_mode);
  auto most = request.number("vllm_importance_sampling_cap");
  if (!most) most = request.number("vllm_importance_sampling_clip_max", 3.0);
  return SamplerCorrection{
      correction, request.number("vllm_importance_sampling_clip_min"), *most};
}

StepTotals microbatch_totals_of(
    const TrlRequest& request, const PolicyLossInputs& in, const PolicyLossConfig& c) {
  double tokens = mx::sum(in.mask).item<float>();
  double accumulation = request.count("gradient_accumulation_steps", 1);
  double items = request.number_within("num_items_in_batch", tokens, 0, kUnbounded);
  double steps = steps_per_generation(request, static_cast<int>(accumulation));
  StepTotals totals;
  totals.num_sequences = in.mask.shape(0) * accumulation;
  totals.max_completion_length = request.count("max_completion_length", 512);
  totals.num_tokens = divides_by_items(request)
                          ? std::max(items, 1.0) * accumulation / steps
                          : std::max(tokens, 1.0) * accumulation;
  if (c.top_entropy_quantile < 1) {
    totals.entropy_threshold =
        entropy_threshold_of(*in.entropies, in.mask, c.top_entropy_quantile);
  }
  double kept = mx::sum(kept_tokens(in, totals)).item<float>();
  totals.num_entropy_tokens = std::max(kept, 1.0) * accumulation;
  return totals;
}

double policy_loss_scale(const TrlRequest& request) {
  return divides_by_items(request) ? 1
                                   : request.count("gradient_accumulation_steps", 1);
}

double kept_entropy(const PolicyLossInputs& in, const StepTotals& totals) {
  auto kept = kept_tokens(in, totals);
  double count = mx::sum(kept).item<float>();
  return mx::sum(masked(*in.entropies, kept)).item<float>() / std::max(count, 1.0);
}

}  // namespace pupil
