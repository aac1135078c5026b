// What the trainer needs from its neighbours, as functions: train/ knows neither the
// engine nor the rewards. app/assemble.cpp passes them in.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

struct Stages {
  /// Prompts and tasks of a round of sampling, without rollouts. A pure function, so
  /// that a resumed run draws what the interrupted one would have. Every prompt's key
  /// is new, even where the task was drawn before.
  std::function<std::vector<RolloutGroup>(uint64_t round)> draw;

  /// Gives each group `n` rollouts with their completions.
  std::function<void(std::span<RolloutGroup> groups, int n)> generate;

  /// Fills in `scores` and `reward` of every rollout.
  std::function<void(std::span<RolloutGroup> groups)> score;

  std::vector<std::string> reward_names;  // in the order of Rollout::scores
};

}  // namespace pupil
