// Rewards to advantages: pure functions of numbers.

#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pupil {

/// By whose standard deviation the centred rewards are divided.
enum class ScaleRewards { group, batch, none };

/// Of TRL's `scale_rewards`. Throws std::invalid_argument on another name.
ScaleRewards scale_rewards_of(std::string_view name);

/// TRL's `multi_objective_aggregation`: what comes first, the sum over reward functions
/// or the normalisation within the group.
enum class Aggregation { sum_then_normalize, normalize_then_sum };

/// Throws std::invalid_argument on another name.
Aggregation aggregation_of(std::string_view name);

using GroupRewards = std::vector<std::optional<double>>;  // none: unscored

/// Whether two scored rewards of the group differ: without, it teaches nothing.
bool has_spread(std::span<const std::optional<double>> rewards);

/// Mean and standard deviation (with Bessel's correction) of the scored rewards;
/// zeros where there are none, std 0 where there is one.
struct Spread {
  double mean = 0;
  double std = 0;
  int count = 0;
};
Spread spread_of(std::span<const std::optional<double>> rewards);

/// Group-relative advantages, as TRL computes them:
///   A_i = (r_i - mean(group)) / (std + 1e-4)    std of the group or of the whole batch
///   A_i =  r_i - mean(group)                    ScaleRewards::none
/// std has Bessel's correction. Unscored rewards are outside every mean and std, and
/// their advantage is 0. A group without spread gets exact zeros.
std::vector<std::vector<double>> advantages_of(
    std::span<const GroupRewards> groups, ScaleRewards scale);

/// The scores of one group, function by function: [functions][rollouts].
using GroupScores = std::vector<GroupRewards>;

/// Advantages of normalize_then_sum (GDPO, arXiv:2601.05242), as TRL computes them:
///   z_ki = (s_ki - mean_k(group)) / (std_k(group) + 1e-4)
///   R_i  = sum_k w_k z_ki
///   A_i  = R_i / (std(R over the batch) + 1e-4)
/// TRL also subtracts the batch's mean of R, which is 0 but for rounding: here a group
/// without spread in any function gets exact zeros. `rewards` says which rollouts
/// count: one without a reward is outside every mean and std, and its advantage is 0. A
/// function of weight 0, and one that scored nobody in the group, adds nothing.
std::vector<std::vector<double>> advantages_of_scores(
    std::span<const GroupScores> groups,
    std::span<const GroupRewards> rewards,
    std::span<const double> weights);

}  // namespace pupil
