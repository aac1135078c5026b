// A policy's answers to a set of tasks as a report, alone or beside another policy's to
// the same tasks: what `pupil eval` writes.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One policy's answers, sampled and scored.
struct Examined {
  std::string name;                  // "base", "adapter"
  std::vector<RolloutGroup> groups;  // [tasks]
};

/// What a judge thinks of the second policy's answers beside the first's.
struct JudgedPairs {
  std::vector<std::optional<double>> wins;  // [tasks] mean over the task's pairs: 1 the
                                            // second's is better, 0 the first's, 0.5 a
                                            // tie; none: no pair was judged
  int won = 0, tied = 0, lost = 0, unscored = 0;  // pairs
};

struct ComparisonSettings {
  std::vector<std::string> rewards;  // the functions' names, as in Rollout::scores
  std::vector<int> ks;               // of pass@k
  uint64_t seed = 0;                 // of the bootstraps
};

/// The part of report.json that follows from answers (docs/evaluation.md):
///   "base" (or the policy's name): {metric: {"mean", "ci95", "tasks", "interval"}}
/// and, with two policies,
///   "difference": {metric: {"mean", "ci95", "tasks", "interval"}}, second - first,
///   "flips": {"gained", "lost": [task ids], "mcnemar_p"},
///   "judge": {"win_rate": {"mean", "ci95"}, "won", "tied", "lost", "unscored"},
///   "flipped": [{"task", "prompt", policy: answer, ...}],
/// and always
///   "tasks": [{"id", policy: {"tested", "passed", metric: value, ...}, ...}].
/// Intervals are bootstraps over tasks, paired for differences; pass@1 of one sample a
/// task has Wilson's. A task is solved if at least half of its tested samples pass.
/// Throws std::invalid_argument if the policies answered different tasks.
nlohmann::ordered_json comparison_json(
    std::span<const Examined> policies,
    const std::optional<JudgedPairs>& judged,
    const ComparisonSettings& settings);

}  // namespace pupil
