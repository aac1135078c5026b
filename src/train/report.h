// Before and after, as a table and as report.json.

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "train/evaluation.h"

namespace pupil {

/// The checkpoint whose evaluation was best.
struct BestCheckpoint {
  int step = 0;
  std::string metric;  // of evaluations, as train.metric_for_best_model names it
  double value = 0;
  std::string folder;
};

struct RunSummary {
  uint64_t seed = 0;
  int steps = 0;
  double seconds = 0;                  // of training
  std::optional<BestCheckpoint> best;  // none: its metric was not measured
};

/// {"seed", "before": {metric: {"mean", "ci95": [low, high]}}, "after", "difference",
///  "steps", "seconds", "best": {"step", "metric", "value", "checkpoint"},
///  "example": {"task", "prompt", "before", "after"}}. Intervals are bootstraps over
/// tasks, `difference` a paired one. The example is the task that gained most. A metric
/// that no task has, or only one of the evaluations, is left out. Throws
/// std::invalid_argument if the evaluations are of different tasks.
nlohmann::ordered_json report_json(
    const Evaluation& before, const Evaluation& after, const RunSummary& summary);

/// The table and the example, for a terminal.
std::string report_text(const nlohmann::ordered_json& report);

/// The same in Markdown: report.md.
std::string report_markdown(const nlohmann::ordered_json& report);

}  // namespace pupil
