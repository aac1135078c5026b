// Before and after, as a table and as report.json.

#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "train/evaluation.h"

namespace pupil {

struct RunSummary {
  uint64_t seed = 0;
  int steps = 0;
  double seconds = 0;  // of training
};

/// {"seed", "before": {metric: {"mean", "ci95": [low, high]}}, "after", "difference",
///  "steps", "seconds", "example": {"task", "prompt", "before", "after"}}. Intervals
///  are
/// bootstraps over tasks, `difference` a paired one. The example is the task that
/// gained most. A metric that no task has is left out. Throws std::invalid_argument if
/// the evaluations are of different tasks.
nlohmann::ordered_json report_json(
    const Evaluation& before, const Evaluation& after, const RunSummary& summary);

/// The table and the example, for a terminal.
std::string report_text(const nlohmann::ordered_json& report);

/// The same in Markdown: report.md.
std::string report_markdown(const nlohmann::ordered_json& report);

}  // namespace pupil
