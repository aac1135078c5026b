// What the trainer needs from its neighbours, as functions: train/ knows neither the
// engine nor the rewards. app/assemble.cpp passes them in.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/curriculum.h"
#include "data/types.h"

namespace pupil {

/// Told how sampling goes on: `tokens` more are there, and `spared` of those that were
/// allowed will not be, because completions ended.
using OnSampled = std::function<void(int64_t tokens, int64_t spared)>;

/// Told of a completion of `group` as it ends, while others go on.
using OnCompleted = std::function<void(size_t group, const Completion& completion)>;

/// What `generate` tells on its way; either may be empty.
struct SamplingEvents {
  OnSampled on_sampled;
  OnCompleted on_completed;
};

/// Told that so many more scores are there, of completions times reward functions.
using OnScored = std::function<void(int64_t scores)>;

struct Stages {
  /// The next `count` prompts and their tasks after the run's `first`, without
  /// rollouts, or with those of a file. A pure function, so that a resumed run draws
  /// what the interrupted one would have. Every prompt's key is new, even where the
  /// task was drawn before.
  std::function<std::vector<RolloutGroup>(
      uint64_t first, size_t count, const TaskRecords& records)>
      draw;

  /// Gives each group `n` rollouts with their completions.
  std::function<void(
      std::span<RolloutGroup> groups, int n, const SamplingEvents& events)>
      generate;

  /// Told of a group's completions that `score` will be asked about, each time that one
  /// more is there, so that what takes waiting can begin: the newest stands last, and
  /// `whole` says that it was the group's last. They are gone after the call. May be
  /// empty.
  std::function<void(
      const RolloutGroup& group, std::span<const Completion> finished, bool whole)>
      begin_score;

  /// Fills in `scores` and `reward` of every rollout. `on_scored` may be empty.
  std::function<void(std::span<RolloutGroup> groups, const OnScored& on_scored)> score;

  /// What those who score did since the last call, for a row of metrics; may be empty.
  std::function<std::vector<std::pair<std::string, double>>()> take_metrics;

  std::vector<std::string> reward_names;  // in the order of Rollout::scores
  std::vector<double> reward_weights;     // in the same order
};

/// How much is sampled, and what the progress bars call it.
struct SamplingPlan {
  int num_generations = 8;
  int max_completion_length = 256;
  std::string label = {};  // before "sampling" and "scoring"; may be empty
};

/// Calls `generate` behind a progress bar. `on_token` is called as tokens come and may
/// throw to end it.
void sample_with_progress(
    const Stages& stages,
    std::span<RolloutGroup> groups,
    const SamplingPlan& plan,
    const std::function<void()>& on_token = {});

/// Calls `score` behind a progress bar. `on_score` is called as scores come and may
/// throw to end it.
void score_with_progress(
    const Stages& stages,
    std::span<RolloutGroup> groups,
    const SamplingPlan& plan,
    const std::function<void()>& on_score = {});

}  // namespace pupil
