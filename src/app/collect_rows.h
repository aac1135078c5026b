// What `pupil collect` writes of a group of scored answers.

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "config/config.h"
#include "data/types.h"
#include "reward/judging.h"

namespace pupil {

/// What was left out, and why.
struct CollectCounts {
  int64_t missing = 0, unscored = 0, low = 0;
  int64_t undecided = 0;  // tasks of which no answer is better than another
};

/// A row an answer, as `pupil sft` reads them: {"messages", "reward", "source", "task",
/// "finish_reason"}. Answers without a reward or below `min_reward` are counted
/// instead.
nlohmann::ordered_json answer_rows(
    const RolloutGroup& group,
    const Config& config,
    std::optional<double> min_reward,
    CollectCounts& counts);

/// A row a pair, as preference methods read them: {"prompt", "chosen", "rejected",
/// "chosen_reward", "rejected_reward", "task"}. The pairs are those `comparisons` of
/// the group's `samples` that have a winner; without any comparison they are the
/// answers of the highest and the lowest reward. A winner below `min_reward` teaches
/// nothing and is left out.
nlohmann::ordered_json pair_rows(
    const RolloutGroup& group,
    std::span<const Comparison> comparisons,
    const Config& config,
    std::optional<double> min_reward,
    CollectCounts& counts);

/// The answers of a group that are there, in their order: what comparisons count.
std::vector<Sample> samples_of(const RolloutGroup& group);

}  // namespace pupil
