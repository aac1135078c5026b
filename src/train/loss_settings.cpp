#include "train/loss_settings.h"

#include <stdexcept>

#include "algo/methods.h"

namespace pupil {

TrainConfig resolve_method(TrainConfig config) {
  const Method* method = find_method(config.method);
  if (!method) {
    throw std::invalid_argument(
        "[config] train.method: unknown '" + config.method + "'");
  }
  if (config.epsilon && !config.epsilon_high) config.epsilon_high = config.epsilon;
  auto fill = [](auto& field, auto value) {
    if (!field) field = value;
  };
  fill(config.loss_type, std::string(method->loss_type));
  fill(
      config.importance_sampling_level, std::string(method->importance_sampling_level));
  fill(config.beta, method->beta);
  fill(config.epsilon, method->epsilon);
  fill(config.epsilon_high, method->epsilon_high);
  fill(config.scale_rewards, std::string(method->scale_rewards));
  return config;
}

PolicyLossConfig policy_loss_config(const TrainConfig& resolved) {
  PolicyLossConfig loss;
  loss.ratio = ratio_of(resolved.importance_sampling_level.value());
  loss.aggregate = aggregate_of(resolved.loss_type.value());
  loss.epsilon = static_cast<float>(resolved.epsilon.value());
  loss.epsilon_high = static_cast<float>(resolved.epsilon_high.value());
  if (resolved.delta) loss.delta = static_cast<float>(*resolved.delta);
  loss.beta = static_cast<float>(resolved.beta.value());
  loss.use_bias_correction_kl = resolved.use_bias_correction_kl;
  return loss;
}

ScaleRewards scale_rewards(const TrainConfig& resolved) {
  return scale_rewards_of(resolved.scale_rewards.value());
}

}  // namespace pupil
