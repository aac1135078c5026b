// How good the student is on held-out tasks.

#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/stages.h"

namespace pupil {

/// Means over the samples of each task. Metrics are "reward", each reward function by
/// its name, "pass@k" for k of 1, 2, 4, ... and all samples (the chance that one of k
/// passes every test, algo/pass_at_k.h; only where there is a function called "tests")
/// and "length" in tokens.
struct Evaluation {
  std::vector<std::string> metrics;
  std::vector<std::vector<std::optional<double>>> values;  // [metrics][tasks]
  std::vector<std::string> task_ids, prompts;              // [tasks]
  std::vector<std::string> answers;  // [tasks], one of median reward
};

/// Of sampled and scored groups, with pass@k for these `ks`. `rewards`: the functions'
/// names in the order of Rollout::scores.
Evaluation evaluation_of(
    std::span<const RolloutGroup> groups,
    const std::vector<std::string>& rewards,
    const std::vector<int>& ks);

/// A task's samples that had their tests run, and those of them that passed all.
struct Passes {
  int tested = 0, passed = 0;
};

/// Zeros where no function is called "tests".
Passes passes_of(const RolloutGroup& group, const std::vector<std::string>& rewards);

/// Samples `plan.num_generations` answers to each group's prompt and scores them. The
/// prompts' keys fix the random streams, so that two evaluations compare like with
/// like. `on_token` is called as tokens come and may throw to end it.
Evaluation evaluate(
    std::vector<RolloutGroup> groups,
    const Stages& stages,
    const SamplingPlan& plan,
    const std::function<void()>& on_token = {});

nlohmann::ordered_json to_json(const Evaluation& evaluation);
/// Throws std::invalid_argument if `json` is not what `to_json` wrote.
Evaluation evaluation_from_json(const nlohmann::json& json);

/// A row of metrics.jsonl: TRL's names with the prefix eval_.
nlohmann::ordered_json eval_row(const Evaluation& evaluation, int step);

}  // namespace pupil
