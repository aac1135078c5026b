// Rewards to advantages: pure functions of numbers, and the baseline that remembers.

#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

/// By whose standard deviation the centred rewards are divided. whiten: besides, the
/// advantages of the whole batch get mean 0 and variance 1 over its tokens.
enum class ScaleRewards { group, batch, none, whiten };

/// Of TRL's `scale_rewards`, and "whiten". Throws std::invalid_argument on another
/// name.
ScaleRewards scale_rewards_of(std::string_view name);

/// TRL's `multi_objective_aggregation`: what comes first, the sum over reward functions
/// or the normalisation within the group.
enum class Aggregation { sum_then_normalize, normalize_then_sum };

/// Throws std::invalid_argument on another name.
Aggregation aggregation_of(std::string_view name);

/// What is subtracted from a reward: the group's mean, the mean of the others of the
/// group (leave_one_out, arXiv:2402.14740), the group's mean weighted by the lengths
/// (length_weighted, arXiv:2505.23585), the mean of the prompt's earlier rewards
/// (running), nothing.
enum class Baseline { group, leave_one_out, length_weighted, running, none };

/// Throws std::invalid_argument on another name.
Baseline baseline_of(std::string_view name);

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

/// Rewards of one completion by each reward function; none: unscored by it.
using RewardRow = std::vector<std::optional<double>>;
using GroupScores = std::vector<RewardRow>;  // of one group's completions

/// Whether any function scored it.
bool is_scored(const RewardRow& row);

/// The weighted sum of each completion's rewards over the functions that scored it;
/// none where no function did. `weights`: one a function.
std::vector<GroupRewards> weighted_sums(
    std::span<const GroupScores> groups, std::span<const double> weights);

/// GDPO (arXiv:2601.05242), as TRL's `normalize_then_sum`: each function's rewards are
/// centred and divided by their group's std + 1e-4, summed by `weights`, and the sums
/// centred and divided by the batch's std + 1e-4. What a function scored alone in its
/// group adds nothing. Unscored completions: as above. A group without spread in any
/// function gets exact zeros.
std::vector<std::vector<double>> normalize_then_sum(
    std::span<const GroupScores> groups, std::span<const double> weights);

/// The mean of all rewards of each prompt so far. Part of a run's state.
class RunningBaseline {
 public:
  /// The mean of `prompt`'s rewards of earlier rounds, none at its first; then takes in
  /// `rewards`.
  std::optional<double> exchange(
      const std::string& prompt, std::span<const std::optional<double>> rewards);

  struct Entry {
    double mean = 0;
    double count = 0;
  };
  std::map<std::string, Entry> entries;
};

/// One round's rewards and what else an estimator asks for.
struct AdvantageInputs {
  std::vector<GroupRewards> rewards;
  std::vector<std::vector<double>> lengths;  // tokens of each completion
  std::vector<std::string> prompts;          // one key a group
};

/// A_i = r_i - baseline, scaled. `running` is asked, and told, for Baseline::running
/// only; where it knows nothing of a prompt its group's mean stands in. Unscored: 0.
/// Baseline::group with any scale but whiten equals the function above. Rewards that
/// are all equal, in the group or the batch whose std is asked for, are divided by 1.
std::vector<std::vector<double>> advantages_of(
    const AdvantageInputs& inputs,
    Baseline baseline,
    ScaleRewards scale,
    RunningBaseline& running);

}  // namespace pupil
