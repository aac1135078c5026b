// The divergence from the reference as a part of the reward.

#pragma once

#include <span>
#include <vector>

#include "train/learner.h"

namespace pupil {

struct RewardKl {
  std::vector<std::vector<double>> sums;  // [groups][rollouts] nats of the completion
  double per_token = 0;                   // mean over all tokens, nats
};

/// Estimated (`learner.loss().kl_estimator`) from the sampler's log-probabilities and
/// the reference's. 0 for rollouts that are unscored or that the student did not
/// sample.
RewardKl reward_kl(
    const Learner& learner,
    std::span<const RolloutGroup> groups,
    const BatchConfig& config);

}  // namespace pupil
