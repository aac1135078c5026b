#include "train/loss_settings.h"

#include <stdexcept>

#include "algo/methods.h"
#include "train/token_plan.h"

namespace pupil {

namespace {

[[noreturn]] void reject(const std::string& key, const std::string& what) {
  throw std::invalid_argument("[config] train." + key + ": " + what);
}

// Of given answers: their rewards are 1 and -1 and nothing is subtracted, which makes
// the loss of `sft` the mean of -log p. Samples keep the group's mean.
Method row_of(const AnswerMethod& answers) {
  Method row = *find_method("reinforce");
  row.beta = answers.beta;
  row.baseline = answers.name == "online_dpo" ? "group" : "none";
  return row;
}

Method row_of(const std::string& method) {
  if (const auto* row = find_method(method)) return *row;
  if (const auto* answers = find_answer_method(method)) return row_of(*answers);
  reject("method", "unknown '" + method + "'");
}

void check_preference(const TrainConfig& c) {
  auto preference = preference_config(c);
  if (!preference) return;
  if (preference->beta <= 0) reject("beta", "expected above 0 for " + c.method);
  if (!preference->has_pairs() && c.prompts_per_step < 2) {
    reject("prompts_per_step", "expected at least 2 for kto, which compares them");
  }
}

void check(const TrainConfig& c) {
  check_preference(c);
  if (c.sync_ref_model && c.beta == 0) {
    reject("sync_ref_model", "there is no reference with train.beta 0");
  }
  bool crossed = c.sampler_clip_min && c.sampler_clip_max &&
                 *c.sampler_clip_min > *c.sampler_clip_max;
  if (crossed) reject("sampler_clip_min", "expected at most train.sampler_clip_max");
}

}  // namespace

TrainConfig resolve_method(TrainConfig config) {
  const Method method = row_of(config.method);
  if (config.epsilon && !config.epsilon_high) config.epsilon_high = config.epsilon;
  auto fill = [](auto& field, auto value) {
    if (!field) field = value;
  };
  fill(config.loss_type, std::string(method.loss_type));
  fill(config.importance_sampling_level, std::string(method.importance_sampling_level));
  fill(config.beta, method.beta);
  fill(config.epsilon, method.epsilon);
  fill(config.epsilon_high, method.epsilon_high);
  fill(config.baseline, std::string(method.baseline));
  fill(config.scale_rewards, std::string(method.scale_rewards));
  fill(config.kl_estimator, std::string(method.kl_estimator));
  fill(config.kl_in_reward, method.kl_in_reward);
  fill(config.use_bias_correction_kl, method.use_bias_correction_kl);
  if (method.delta > 0) fill(config.delta, method.delta);
  check(config);
  return config;
}

PolicyLossConfig policy_loss_config(const TrainConfig& resolved) {
  const auto& type = loss_type_of(resolved.loss_type.value());
  PolicyLossConfig loss;
  loss.ratio = ratio_of(resolved.importance_sampling_level.value());
  loss.surrogate = type.surrogate;
  loss.aggregate = type.aggregate;
  loss.epsilon = resolved.epsilon.value();
  loss.epsilon_high = resolved.epsilon_high.value();
  loss.delta = resolved.delta;
  loss.beta = resolved.kl_in_reward.value() ? 0.0 : resolved.beta.value();
  loss.use_bias_correction_kl = resolved.use_bias_correction_kl.value();
  loss.kl_estimator = kl_estimator_of(resolved.kl_estimator.value());
  loss.top_entropy_quantile = resolved.top_entropy_quantile;
  loss.off_policy_mask_threshold = resolved.off_policy_mask_threshold;
  loss.entropy_coef = entropy_control(resolved).applied();
  loss.sapo_temperature_pos = resolved.sapo_temperature_pos;
  loss.sapo_temperature_neg = resolved.sapo_temperature_neg;
  loss.vespo_k_pos = resolved.vespo_k_pos;
  loss.vespo_lambda_pos = resolved.vespo_lambda_pos;
  loss.vespo_k_neg = resolved.vespo_k_neg;
  loss.vespo_lambda_neg = resolved.vespo_lambda_neg;
  loss.kl_cov_coef = resolved.kl_cov_coef;
  return loss;
}

EntropyControl entropy_control(const TrainConfig& c) {
  EntropyControl control;
  control.coef = c.entropy_coef;
  control.adaptive = c.use_adaptive_entropy;
  control.coef_min = c.entropy_coef_min;
  control.coef_max = c.entropy_coef_max;
  control.delta = c.entropy_coef_delta;
  control.target = c.entropy_target;
  return control;
}

CovarianceChoice covariance_choice(const TrainConfig& c) {
  return {
      c.cov_share,
      c.clip_cov_low,
      c.clip_cov_high,
      c.epsilon.value(),
      c.epsilon_high.value()};
}

std::optional<SamplerCorrection> sampler_correction(const TrainConfig& c) {
  if (c.sampler_correction == "none") return std::nullopt;
  return SamplerCorrection{
      sampler_correction_mode(c.sampler_correction),
      c.sampler_clip_min,
      c.sampler_clip_max};
}

std::optional<PreferenceConfig> preference_config(const TrainConfig& c) {
  auto type = preference_of(c.method);
  if (!type) return std::nullopt;
  return PreferenceConfig{
      *type,
      c.beta.value(),
      c.label_smoothing,
      c.simpo_gamma,
      c.desirable_weight,
      c.undesirable_weight};
}

ScheduleConfig schedule_config(const TrainConfig& c) {
  return {
      schedule_of(c.lr_scheduler_type), c.warmup_steps, c.decay_steps, c.min_lr_ratio};
}

bool has_reference(const TrainConfig& resolved) {
  auto preference = preference_config(resolved);
  return resolved.beta.value() != 0 || (preference && preference->needs_reference());
}

bool learns_without_spread(const TrainConfig& resolved) {
  auto over = baseline(resolved);
  return over == Baseline::running || over == Baseline::none;
}

bool acts_on_all_rows(const TrainConfig& resolved) {
  if (preference_config(resolved)) return false;
  auto loss = policy_loss_config(resolved);
  bool has_bonus = entropy_control(resolved).enabled();
  return loss.beta != 0 || has_bonus || needs_token_plan(loss);
}

Baseline baseline(const TrainConfig& resolved) {
  return baseline_of(resolved.baseline.value());
}

ScaleRewards scale_rewards(const TrainConfig& resolved) {
  return scale_rewards_of(resolved.scale_rewards.value());
}

bool learns_from_file(const TrainConfig& train) {
  return train.method == "sft" ||
         (preference_of(train.method) && train.method != "online_dpo");
}

}  // namespace pupil
