// Several reward functions as one reward.

#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One row of `reward.functions`, ready to run.
struct RewardFunction {
  std::string name;
  double weight = 1.0;
  RewardFn score;
  double share = 1.0;  // of the groups: which ones follows from their prompts' keys
};

/// Whether a function with this share scores this group. Follows from its prompt's key,
/// which names the prompt of one round alone: a resumed run looks at the same groups.
bool is_looked_at(const RolloutGroup& group, double share);

/// Scores every rollout of all groups by every function, the functions at the same
/// time, and fills in `scores` and `reward`: the weighted sum of the scores.
///
/// A function that scored nobody in a group (its task has no tests, say) does not count
/// there, and one of weight 0 nowhere: its scores are only shown. Where one scored
/// some, a rollout without its score has no reward: a zero in its place would be an
/// invention. A completion that is missing or without tokens is shown to no function:
/// it is unscored, with the reason. Throws what a function throws, and std::logic_error
/// for one that does not give every sample one finite score or none.
void score_groups(
    std::span<const RewardFunction> functions,
    std::span<RolloutGroup> groups,
    const std::function<void(int64_t scores)>& on_scored = {});

}  // namespace pupil
