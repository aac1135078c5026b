// A report of `pupil eval` for people.

#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace pupil {

/// The summary: what was asked, the table of metrics, what flipped, the judge. `report`
/// is `comparison_json` behind a key "settings" (docs/evaluation.md).
std::string comparison_text(const nlohmann::ordered_json& report);

/// report.md: the summary, each task that flipped with both answers, and a row for each
/// task.
std::string comparison_markdown(const nlohmann::ordered_json& report);

}  // namespace pupil
