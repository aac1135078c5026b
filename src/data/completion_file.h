// Answers that were written elsewhere, to be scored.

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One line of a completions file.
struct CompletionLine {
  nlohmann::json id;  // the task's, text or integer, as it stands in the line
  size_t task = 0;    // its index among the tasks
  std::string text;
};

/// Reads JSON Lines, {"id": a task's id, "completion": text}, in their order; any
/// number of lines for a task, and other keys are ignored. Throws std::invalid_argument
/// "[path:line] ..." for a line that is not that or names no task of `tasks`, which
/// come from `tasks_path`, and for a file without lines.
std::vector<CompletionLine> read_completion_file(
    const std::string& path,
    const std::vector<Task>& tasks,
    const std::string& tasks_path);

}  // namespace pupil
