// Random scored groups for tests of the training side.

#pragma once

#include <random>
#include <vector>

#include "algo/advantage.h"
#include "data/types.h"

namespace pupil::testing {

inline Completion random_completion(std::mt19937& random, int vocabulary) {
  Completion completion;
  completion.tokens.resize(1 + random() % 9);
  for (int& token : completion.tokens) token = static_cast<int>(random() % vocabulary);
  for (size_t t = 0; t < completion.tokens.size(); ++t) {
    completion.logprobs.push_back(-0.1f * static_cast<float>(random() % 40));
  }
  completion.finish = random() % 2 ? FinishReason::stop : FinishReason::length;
  return completion;
}

/// Rewards in quarters; `unscored` of four rollouts have none.
inline RolloutGroup random_group(
    std::mt19937& random, int size, int unscored = 0, int vocabulary = 48) {
  RolloutGroup group;
  group.prompt.tokens.resize(2 + random() % 6);
  for (int& token : group.prompt.tokens)
    token = static_cast<int>(random() % vocabulary);
  for (int i = 0; i < size; ++i) {
    Rollout rollout;
    rollout.completion = random_completion(random, vocabulary);
    if (static_cast<int>(random() % 4) >= unscored)
      rollout.reward = 0.25 * (random() % 5);
    group.rollouts.push_back(rollout);
  }
  return group;
}

inline void set_advantages(std::vector<RolloutGroup>& groups, ScaleRewards scale) {
  std::vector<GroupRewards> rewards;
  for (const auto& group : groups) {
    rewards.emplace_back();
    for (const auto& r : group.rollouts) rewards.back().push_back(r.reward);
  }
  auto advantages = advantages_of(rewards, scale);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < advantages[g].size(); ++i) {
      groups[g].rollouts[i].advantage = advantages[g][i];
    }
  }
}

/// The groups without their unscored rollouts.
inline std::vector<RolloutGroup> scored_only(std::vector<RolloutGroup> groups) {
  for (auto& group : groups) {
    std::erase_if(group.rollouts, [](const Rollout& r) { return !r.reward; });
  }
  return groups;
}

}  // namespace pupil::testing
