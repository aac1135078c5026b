#include "train/reward_kl.h"

#include <algorithm>

#include "algo/kl.h"

namespace pupil {

RewardKl reward_kl(
    const Learner& learner,
    std::span<const RolloutGroup> groups,
    const BatchConfig& config) {
  auto every = config;
  every.all_groups = true;
  every.top_k_samples = 0;
  RewardKl kl;
  for (const auto& group : groups) kl.sums.emplace_back(group.rollouts.size(), 0.0);
  double sum = 0, tokens = 0;
  for (const auto& batch : pack(groups, every)) {
    auto known =
        batch.mask * mx::astype(mx::isfinite(batch.sampler_logprobs), mx::float32);
    auto d = masked(learner.reference_logprobs(batch) - batch.sampler_logprobs, known);
    auto estimate = masked(kl_estimate(d, learner.loss().kl_estimator), known);
    auto rows = mx::contiguous(mx::sum(estimate, 1));
    rows.eval();
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      kl.sums[batch.group][batch.rows[i]] = rows.data<float>()[i];
      sum += rows.data<float>()[i];
    }
    tokens += mx::sum(known).item<float>();
  }
  kl.per_token = sum / std::max(tokens, 1.0);
  return kl;
}

}  // namespace pupil
