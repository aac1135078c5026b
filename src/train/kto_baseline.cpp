#include "train/kto_baseline.h"

#include <algorithm>

namespace pupil {

namespace {

// Each prompt with the answer of the group before.
std::vector<RolloutGroup> mismatched(std::span<const RolloutGroup> groups) {
  std::vector<RolloutGroup> others;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto& before = groups[(g + groups.size() - 1) % groups.size()];
    auto& other = others.emplace_back();
    other.prompt = groups[g].prompt;
    other.rollouts.push_back(before.rollouts.at(0));
  }
  return others;
}

}  // namespace

double kto_baseline(
    const Learner& learner,
    std::span<const RolloutGroup> groups,
    const BatchConfig& config) {
  double sum = 0, count = 0;
  for (const auto& batch : pack(mismatched(groups), config)) {
    auto d = learner.logprobs(batch).logprobs - learner.reference_logprobs(batch);
    sum += mx::sum(masked(d, batch.mask)).item<float>();
    count += static_cast<double>(batch.rows.size());
  }
  return count > 0 ? std::max(sum / count, 0.0) : 0.0;
}

}  // namespace pupil
